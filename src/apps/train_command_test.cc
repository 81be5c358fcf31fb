#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fcntl.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "base/error.h"
#include "base/rng.h"
#include "io/file.h"
#include "testing/process.h"
#include "testing/tiny_run.h"
#include "train/metrics.h"
#include "train/run_checkpoint.h"

namespace axk1 {
namespace {

using testing::axk1;
using ::testing::HasSubstr;
using testing::ProcessResult;

pid_t start(std::vector<std::string> args) {
  args.insert(args.begin(), testing::program_path("axk1"));
  const pid_t pid = fork();
  if (pid == 0) {
    const int null = open("/dev/null", O_WRONLY);
    dup2(null, 1);
    dup2(null, 2);
    testing::execute(args);
  }
  return pid;
}

size_t lines_of(const std::string& path) {
  if (!file_exists(path)) return 0;
  const std::string text = read_file(path);
  return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
}

// Waits until the run has noted more than `lines` steps, or has ended.
void wait_for_lines(const std::string& out, size_t lines, pid_t pid) {
  siginfo_t info{};
  while (lines_of(out + "/metrics.jsonl") <= lines) {
    info.si_pid = 0;
    waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT);
    if (info.si_pid) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

constexpr const char* kManySteps = R"({"checkpoint": {"every": 7, "keep": 2}, "eval": {"every": 20},
    "stages": [{"steps": 150, "sequence_length": 32, "batch_tokens": 128,
                "schedule": {"peak": 0.01}}]})";

std::string newest(const std::string& out) {
  const CheckpointFolder folder(out + "/checkpoints");
  return read_file(folder.file(folder.steps().back()));
}

// A layer of multi-token prediction goes from the run file to drafts that are right.
TEST(TrainCommand, WhatItTrainedGuessesAhead) {
  const testing::TinyRun files;
  const std::string run =
      files.write_run(kManySteps, "mtp.json", R"({"num_nextn_predict_layers": 1})");
  const std::string out = files.path() + "/out", requests = files.path() + "/requests.jsonl";
  const ProcessResult trained = axk1({"train", run, "--out", out, "--threads", "1"});
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  write_file_atomic(requests,
                    "{\"prompt\": \"The fox number\", \"temperature\": 0, \"max_tokens\": 40}\n"
                    "{\"prompt\": \"the grapes\", \"temperature\": 0.5, \"seed\": 1, "
                    "\"max_tokens\": 40}\n");
  const ProcessResult drafts =
      axk1({"bench", "drafts", out + "/model", "--requests", requests, "--samples", "1",
            "--streams", "1", "--threads", "1", "--json"});
  ASSERT_EQ(drafts.exit_code, 0) << drafts.err;
  const json::value result = json::parse(drafts.out, "bench drafts");
  const json::array& rows = result.at("rows").as_array();
  ASSERT_EQ(rows.size(), 5u);
  EXPECT_EQ(rows[4].at("name").as_string(), "mtp always");
  const auto number = [&](size_t row, const char* field) {
    return rows[row].at(field).to_number<uint64_t>();
  };
  EXPECT_GT(6 * number(4, "accepted_tokens"), number(4, "draft_tokens"));
  EXPECT_LT(4 * number(4, "steps"), 3 * number(0, "steps"));
}

TEST(TrainCommand, KilledAtAnyMomentItEndsWithTheSameBits) {
  const testing::TinyRun files;
  const std::string run = files.write_run(kManySteps);
  const std::string whole = files.path() + "/whole", parts = files.path() + "/parts";
  const ProcessResult good = axk1({"train", run, "--out", whole, "--threads", "1"});
  ASSERT_EQ(good.exit_code, 0) << good.err;
  EXPECT_THAT(good.out, HasSubstr("/whole/model: the model after 150 steps"));
  Rng random(3);
  size_t kills = 0;
  bool done = false;
  for (size_t lines = 0; !done; lines += 20) {
    const pid_t pid = start({"train", run, "--out", parts, "--threads", "2", "--resume"});
    if (kills < 6) {
      wait_for_lines(parts, lines + random.next() % 20, pid);
      std::this_thread::sleep_for(std::chrono::microseconds(random.next() % 3000));
      kill(pid, SIGKILL);
    }
    const int code = testing::wait_for(pid);
    done = code == 0;
    kills += !done;
    ASSERT_TRUE(done || code == 128 + SIGKILL) << code;
  }
  EXPECT_GT(kills, 2u);
  EXPECT_TRUE(newest(parts) == newest(whole));
  EXPECT_TRUE(read_file(parts + "/model/model.safetensors") ==
              read_file(whole + "/model/model.safetensors"));
  const MetricsLog log(parts + "/metrics.jsonl", 150);
  ASSERT_EQ(log.history().size(), 150u) << "every step once";
  std::printf("[ cases ] runs killed: %zu\n", kills);
}

TEST(TrainCommand, SigtermSavesAndSaysHowToGoOn) {
  const testing::TinyRun files;
  const std::string run = files.write_run(kManySteps), out = files.path() + "/out";
  int pipe_ends[2];
  ASSERT_EQ(pipe(pipe_ends), 0);
  const pid_t pid = fork();
  if (pid == 0) {
    dup2(pipe_ends[1], 1);
    dup2(open("/dev/null", O_WRONLY), 2);
    testing::execute({testing::program_path("axk1"), "train", run, "--out", out});
  }
  close(pipe_ends[1]);
  wait_for_lines(out, 2, pid);
  kill(pid, SIGTERM);
  EXPECT_EQ(testing::wait_for(pid), 0);
  char text[4096];
  const ssize_t n = read(pipe_ends[0], text, sizeof text);
  close(pipe_ends[0]);
  const std::string said(text, n > 0 ? static_cast<size_t>(n) : 0);
  const size_t steps = lines_of(out + "/metrics.jsonl");
  EXPECT_THAT(
      said, HasSubstr(cat("stopped and saved after step ", steps, " of 150; to go on: axk1 train ",
                          run, " --out ", out, " --resume")));
  EXPECT_EQ(CheckpointFolder(out + "/checkpoints").steps().back(), steps);
}

TEST(TrainCommand, TheModelAnswers) {
  const testing::TinyRun files;
  const std::string out = files.path() + "/out";
  // One conversation, over and over.
  const std::string run = files.write_run(R"({"data": [{"name": "chat", "files": "chat.jsonl"}],
      "held_out": {}, "stages": [{"steps": 60, "sequence_length": 64, "batch_tokens": 128,
                                  "schedule": {"peak": 0.02, "warmup_steps": 5}}]})");
  const ProcessResult trained = axk1({"train", run, "--out", out});
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  const ProcessResult answer = axk1(
      {"run", out + "/model", "--jsonl"},
      R"({"messages": [{"role": "user", "content": "Hi"}], "temperature": 0, "max_tokens": 12})");
  ASSERT_EQ(answer.exit_code, 0) << answer.err;
  EXPECT_THAT(answer.out, HasSubstr("\"text\":\"Hello.\""));
  EXPECT_THAT(answer.out, HasSubstr("\"finish_reason\":\"stop\""));
}

TEST(TrainCommand, WrongUsage) {
  const testing::TinyRun files;
  const std::string run = files.write_run(), out = files.path() + "/out";
  for (const std::vector<std::string>& args : std::vector<std::vector<std::string>>{
           {"train", run},
           {"train", "--out", out},
           {"train", run, "--replay", run, "--out", out},
           {"train", run, "--dtype", "f32", "--out", out},
           {"train", "--replay", run, "--resume", "--out", out}}) {
    EXPECT_EQ(axk1(args).exit_code, 2) << args.back();
  }
  EXPECT_FALSE(file_exists(out));
  const ProcessResult bad =
      axk1({"train", files.write_run("{\"sead\": 1}", "bad.json"), "--out", out});
  EXPECT_EQ(bad.exit_code, 1);
  EXPECT_THAT(bad.err, HasSubstr("bad.json: unknown field \"sead\""));
}

// The command line of so many processes; empty where there is no MPI.
std::vector<std::string> under_mpi(int processes, std::vector<std::string> args) {
  const std::string library =
      std::filesystem::path(testing::program_path("axk1")).parent_path() / "libaxk1_mpi.so";
  if (!file_exists("/usr/bin/mpirun") || !file_exists(library)) return {};
  std::vector<std::string> all = {"/usr/bin/mpirun", "--allow-run-as-root",
                                  "--oversubscribe", "-np",
                                  cat(processes),    testing::program_path("axk1")};
  all.insert(all.end(), args.begin(), args.end());
  return all;
}

TEST(TrainCommand, ProcessesUnderMpiTrainAsOne) {
  const testing::TinyRun files;
  const std::string run = files.write_run(), one = files.path() + "/one",
                    two = files.path() + "/two";
  const auto command = under_mpi(2, {"train", run, "--out", two, "--mpi", "--threads", "1"});
  if (command.empty()) GTEST_SKIP() << "skipped: no Open MPI";
  ASSERT_EQ(axk1({"train", run, "--out", one, "--threads", "1"}).exit_code, 0);
  const ProcessResult both = testing::run_process(command, "");
  ASSERT_EQ(both.exit_code, 0) << both.err;
  EXPECT_THAT(both.out, HasSubstr("/two/model: the model after 24 steps"));
  const MetricsLog of_one(one + "/metrics.jsonl", 24), of_two(two + "/metrics.jsonl", 24);
  ASSERT_EQ(of_two.history().size(), 24u);
  double worst = 0;
  for (size_t i = 0; i < 24; ++i) {
    worst = std::max(worst, std::abs(of_one.history()[i].loss - of_two.history()[i].loss));
    EXPECT_EQ(of_one.history()[i].tokens, of_two.history()[i].tokens);
  }
  // f32 gradients summed in another order, as in trainer_test.cc.
  EXPECT_LT(worst, 1e-4);
  std::printf("[ cases ] largest difference of a loss under MPI: %.2g\n", worst);
}

// The processes whose parent is this one.
std::vector<pid_t> children_of(pid_t parent) {
  std::vector<pid_t> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const pid_t pid = atoi(entry.path().filename().c_str());
    if (pid <= 0) continue;
    try {
      const std::string stat = read_file(entry.path() / "stat");
      int of = 0;
      if (sscanf(stat.c_str() + stat.rfind(')') + 1, " %*c %d", &of) == 1 && of == parent) {
        found.push_back(pid);
      }
    } catch (const Error&) {  // gone
    }
  }
  return found;
}

TEST(TrainCommand, ADeadProcessUnderMpiEndsTheRunWhichGoesOn) {
  const testing::TinyRun files;
  const std::string run = files.write_run(kManySteps), out = files.path() + "/out";
  const auto command =
      under_mpi(2, {"train", run, "--out", out, "--mpi", "--threads", "1", "--resume"});
  if (command.empty()) GTEST_SKIP() << "skipped: no Open MPI";
  const pid_t mpirun = fork();
  if (mpirun == 0) {
    const int null = open("/dev/null", O_WRONLY);
    dup2(null, 1);
    dup2(null, 2);
    testing::execute(command);
  }
  wait_for_lines(out, 20, mpirun);
  const std::vector<pid_t> ranks = children_of(mpirun);
  ASSERT_EQ(ranks.size(), 2u);
  kill(ranks[1], SIGKILL);
  EXPECT_NE(testing::wait_for(mpirun), 0);
  EXPECT_LT(lines_of(out + "/metrics.jsonl"), 150u);
  const ProcessResult rest = testing::run_process(command, "");
  ASSERT_EQ(rest.exit_code, 0) << rest.err;
  const MetricsLog log(out + "/metrics.jsonl", 150);
  EXPECT_EQ(log.history().size(), 150u) << "every step once";
}

TEST(TrainCommand, ReinforcementLearning) {
  const testing::TinyRun files;
  write_file_atomic(files.path() + "/tasks.jsonl",
                    R"({"messages": [{"role": "user", "content": "a"}], "task": {"kind": "add", )"
                    R"("language": "en", "mode": "no_think", "answer": "1"}})");
  const std::string path = files.write_run(R"({"rl": {"tasks": "tasks.jsonl", "steps": 2,
      "questions": 1, "samples": 2, "max_tokens": 4, "schedule": {"peak": 0.001}}})");
  json::value run = json::parse(read_file(path), path);
  for (const char* name : {"data", "stages", "held_out"}) run.as_object().erase(name);
  write_file_atomic(path, json::to_text(run));

  const ProcessResult refused = axk1({"train", path, "--out", files.path() + "/out"});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, HasSubstr("has a section `rl`; it is for axk1 rl"));
  EXPECT_EQ(axk1({"rl", path, "--mpi", "--out", files.path() + "/out"}).exit_code, 2);
  const ProcessResult done = axk1({"rl", path, "--threads", "1", "--out", files.path() + "/out"});
  EXPECT_EQ(done.exit_code, 0) << done.err;
  EXPECT_THAT(done.out, HasSubstr("the model after 2 steps"));
  EXPECT_THAT(read_file(files.path() + "/out/metrics.jsonl"), HasSubstr("\"reward\":"));
  EXPECT_EQ(
      axk1({"rl", files.write_run("{}", "plain.json"), "--out", files.path() + "/x"}).exit_code, 2);
}

}  // namespace
}  // namespace axk1
