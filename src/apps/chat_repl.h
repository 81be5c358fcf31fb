// The dialogue of `axk1 chat`: lines in, messages and /commands told apart, answers out.
#pragma once

#include <functional>
#include <string>

#include "apps/answer_printer.h"
#include "apps/chat_session.h"
#include "apps/message_assembler.h"

namespace axk1 {

struct ChatReplOptions {
  bool interactive = false;  // prompts, hints, and the end of the program by /quit or Ctrl-D
  AnswerStyle style = AnswerStyle::kPlain;
  bool stats = false;
};

class ChatRepl {
 public:
  enum class Read { kLine, kInterrupted, kEnd };
  // One line without its end, after showing `prompt` where that makes sense.
  using ReadLine = std::function<Read(const std::string& prompt, std::string& line)>;
  using Write = std::function<void(std::string_view)>;

  // `out` gets answers and what commands print, `err` errors, notices and speeds.
  ChatRepl(ChatSession& session, const ChatReplOptions& options, ReadLine read_line, Write out,
           Write err);

  // Until the input ends or /quit. Returns how many messages and commands failed; each has been
  // reported on `err`.
  size_t run();

 private:
  bool handle(const std::string& text);  // false ends the dialogue
  bool command(const std::string& text);
  void answer(
      const std::function<ChatAnswer(const ChatSession::OnPiece&, const Session::Progress&)>& make);
  void report(const ChatAnswer& answer, size_t left_out_before);

  ChatSession& session_;
  ChatReplOptions options_;
  ReadLine read_line_;
  Write out_, err_;
  MessageAssembler message_;
};

}  // namespace axk1
