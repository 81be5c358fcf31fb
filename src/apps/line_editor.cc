#include "apps/line_editor.h"

#include <histedit.h>
#include <signal.h>

#include <cerrno>
#include <cstdio>
#include <cwchar>

#include "apps/terminal.h"
#include "base/error.h"
#include "base/utf8.h"
#include "io/file.h"

namespace axk1 {
namespace {

constexpr int kHistorySize = 1000;

std::wstring to_wide(std::string_view text) {
  std::wstring wide;
  while (!text.empty()) {
    const Utf8Char c = decode_utf8(text);
    wide += static_cast<wchar_t>(c.code_point);
    text.remove_prefix(c.length);
  }
  return wide;
}

std::string to_utf8(std::wstring_view wide) {
  std::string text;
  for (wchar_t c : wide) append_utf8(text, static_cast<char32_t>(c));
  return text;
}

}  // namespace

struct LineEditor::Impl {
  EditLine* editor = nullptr;
  HistoryW* history = nullptr;
  std::string history_file;
  std::wstring prompt;
  bool interrupted = false;

  static Impl& of(EditLine* e) {
    void* data = nullptr;
    el_wget(e, EL_CLIENTDATA, &data);
    return *static_cast<Impl*>(data);
  }

  static wchar_t* get_prompt(EditLine* e) { return of(e).prompt.data(); }

  // libedit's convention: the command's key, and what to do next.
  static unsigned char on_interrupt(EditLine* e, wint_t) {
    of(e).interrupted = true;
    return CC_EOF;
  }

  static unsigned char on_suspend(EditLine* e, wint_t) {
    el_wset(e, EL_PREP_TERM, 0);
    raise(SIGTSTP);
    el_wset(e, EL_PREP_TERM, 1);
    return CC_REDISPLAY;
  }
};

LineEditor::LineEditor(const std::string& history_file) : impl_(std::make_unique<Impl>()) {
  Impl& impl = *impl_;
  impl.history_file = history_file;
  impl.history = history_winit();
  impl.editor = el_init("axk1", stdin, stdout, stderr);
  if (!impl.editor || !impl.history) {
    if (impl.editor) el_end(impl.editor);
    if (impl.history) history_wend(impl.history);
    fail(ErrorCode::kIo, "the terminal cannot be set up for editing");
  }
  HistEventW event;
  history_w(impl.history, &event, H_SETSIZE, kHistorySize);
  history_w(impl.history, &event, H_SETUNIQUE, 1);
  if (!history_file.empty() && file_exists(history_file)) {
    history_w(impl.history, &event, H_LOAD, history_file.c_str());
  }

  EditLine* e = impl.editor;
  el_wset(e, EL_CLIENTDATA, &impl);
  el_wset(e, EL_PROMPT, &Impl::get_prompt);
  el_wset(e, EL_HIST, history_w, impl.history);
  el_wset(e, EL_EDITOR, L"emacs");
  el_wset(e, EL_SIGNAL, 1);  // sets the terminal right again around SIGTERM, SIGWINCH and the like
  el_source(e, nullptr);     // the user's ~/.editrc
  // While a line is edited Ctrl-C is a key, not a signal: the line is dropped in an orderly way.
  el_wset(e, EL_SETTY, L"-d", L"-isig", nullptr);
  el_wset(e, EL_ADDFN, L"axk1-interrupt", L"Drop the line", &Impl::on_interrupt);
  el_wset(e, EL_ADDFN, L"axk1-suspend", L"Stop the program for now", &Impl::on_suspend);
  el_wset(e, EL_BIND, L"^C", L"axk1-interrupt", nullptr);
  el_wset(e, EL_BIND, L"^Z", L"axk1-suspend", nullptr);
  el_wset(e, EL_BIND, L"^R", L"em-inc-search-prev", nullptr);
  el_wset(e, EL_BIND, L"\\e[1;5C", L"em-next-word", nullptr);  // Ctrl-Right as xterm sends it
  el_wset(e, EL_BIND, L"\\e[1;5D", L"ed-prev-word", nullptr);
}

LineEditor::~LineEditor() {
  HistEventW event;
  if (!impl_->history_file.empty()) {
    history_w(impl_->history, &event, H_SAVE, impl_->history_file.c_str());
  }
  el_end(impl_->editor);
  history_wend(impl_->history);
}

LineEditor::Outcome LineEditor::read(const std::string& prompt, std::string& line) {
  Impl& impl = *impl_;
  impl.prompt = to_wide(prompt);
  impl.interrupted = false;
  line.clear();
  // Before the prompt, which libedit shows first: what is typed in between would be echoed, and
  // Ctrl-C be a signal.
  el_wset(impl.editor, EL_PREP_TERM, 1);
  int length = 0;
  errno = 0;
  const wchar_t* text = el_wgets(impl.editor, &length);
  const bool signalled = !text && (length < 0 || errno == EINTR);
  if (impl.interrupted || signalled) {
    print_out("^C\n");
    return Outcome::kInterrupted;
  }
  if (!text || length <= 0) {
    print_out("\n");
    return Outcome::kEnd;
  }
  std::wstring_view wide(text, static_cast<size_t>(length));
  while (!wide.empty() && (wide.back() == L'\n' || wide.back() == L'\r')) wide.remove_suffix(1);
  line = to_utf8(wide);
  if (!line.empty()) {
    HistEventW event;
    history_w(impl.history, &event, H_ENTER, std::wstring(wide).c_str());
  }
  return Outcome::kLine;
}

}  // namespace axk1
