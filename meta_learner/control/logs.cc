#include "meta_learner/control/logs.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <memory>

#include <fcntl.h>
#include <google/protobuf/util/time_util.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>
#include <unistd.h>

#include "common/check.h"
#include "common/file.h"
#include "common/log.h"
#include "common/printable.h"

namespace mentor::meta_learner {
namespace {

constexpr size_t kLinesWaitingMax = 1000;
constexpr uintmax_t kFileBytesMax = 4 << 20;

std::filesystem::path Newest(const std::filesystem::path& folder) {
  return folder / "log.jsonl";
}
std::filesystem::path Older(const std::filesystem::path& folder) {
  return folder / "log.1.jsonl";
}

v1::WatchLogsResponse ParseLine(const std::string& line) {
  v1::WatchLogsResponse entry;
  const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    entry.set_message(Printable(line));  // Damaged, or cut off.
    return entry;
  }
  for (const auto& [key, value] : json.items()) {
    const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
    if (key == "ts") {
      google::protobuf::util::TimeUtil::FromString(text, entry.mutable_time());
    } else if (key == "severity") {
      entry.set_severity(text);
    } else if (key == "msg") {
      entry.set_message(text);
    } else if (key != "experiment" && key != "logger" && key != "file") {
      (*entry.mutable_fields())[key] = text;
    }
  }
  return entry;
}

// Reads the lines logged since the last Read: whole lines, each once, across rotations. The reader
// keeps its file open, which stays readable after a rotation renames or removes it. So lines are
// lost only if three rotations happen between two reads. Reads a piece at a time, since a slow
// watcher could keep whole files in memory.
class LogReader {
 public:
  explicit LogReader(std::filesystem::path folder) : folder_(std::move(folder)) {}

  // Adds the lines of the next piece; adds none at the end.
  void Read(std::deque<std::string>* lines) {
    while (lines->empty()) {
      const auto [older, newest] = Open();
      // After Open: a file that was already renamed then gets no more lines.
      if (ReadPiece(lines)) continue;
      if (newest.is(file_)) return;
      const File& next = older.stream && !older.is(file_) ? older : newest;
      if (!next.stream) return;
      file_ = next;
      rest_.clear();
    }
  }

 private:
  struct File {
    std::shared_ptr<std::FILE> stream;  // Null: no file.
    dev_t device = 0;
    ino_t number = 0;  // Inode; unique while the file is open.

    bool is(const File& other) const {
      return stream && other.stream && device == other.device && number == other.number;
    }
  };

  static File OpenLog(const std::filesystem::path& path) {
    File file{.stream = {std::fopen(path.c_str(), "re"), [](std::FILE* opened) {
                           if (opened != nullptr) std::fclose(opened);
                         }}};
    struct stat facts = {};
    if (!file.stream || fstat(fileno(file.stream.get()), &facts) != 0) return {};
    file.device = facts.st_dev;
    file.number = facts.st_ino;
    return file;
  }

  // Opens the older and newest file of one moment, without a rotation in between. Returns empty
  // files when no descriptors are left; the next read tries again.
  std::pair<File, File> Open() const {
    constexpr int kAttempts = 10;
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
      File newest = OpenLog(Newest(folder_));
      File older = OpenLog(Older(folder_));
      struct stat facts = {};
      const bool there = stat(Newest(folder_).c_str(), &facts) == 0;
      if (there == (newest.stream != nullptr) &&
          (!there || (facts.st_dev == newest.device && facts.st_ino == newest.number)))
        return {std::move(older), std::move(newest)};
    }
    return {};
  }

  // Returns false at the end of the file.
  bool ReadPiece(std::deque<std::string>* lines) {
    if (!file_.stream) return false;
    std::array<char, 1 << 16> piece;
    std::clearerr(file_.stream.get());  // Clears the end-of-file flag.
    const size_t got = std::fread(piece.data(), 1, piece.size(), file_.stream.get());
    rest_.append(piece.data(), got);
    size_t begin = 0;
    for (size_t end; (end = rest_.find('\n', begin)) != rest_.npos; begin = end + 1)
      lines->push_back(rest_.substr(begin, end - begin));
    rest_.erase(0, begin);
    return got > 0;
  }

  const std::filesystem::path folder_;
  File file_;         // The file being read.
  std::string rest_;  // Beginning of an unfinished line.
};

size_t CountLines(const std::filesystem::path& folder) {
  LogReader reader(folder);
  size_t count = 0;
  std::deque<std::string> lines;
  for (reader.Read(&lines); !lines.empty(); reader.Read(&lines)) {
    count += lines.size();
    lines.clear();
  }
  return count;
}

}  // namespace

ExperimentLogs::ExperimentLogs(Records* records, RunFiles* files)
    : records_(records), files_(files), thread_([this] { Work(); }) {
  log::SetObserver([this](std::string_view experiment, const std::string& line) {
    const MutexLock lock(mutex_);
    if (lines_.size() >= kLinesWaitingMax) return;  // The process's own log still has it.
    lines_.emplace_back(experiment, line);
    changed_.NotifyOne();
  });
}

ExperimentLogs::~ExperimentLogs() {
  log::SetObserver(nullptr);
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    changed_.NotifyOne();
  }
  thread_.join();
}

void ExperimentLogs::Work() {
  MutexLock lock(mutex_);
  while (true) {
    while (!stopping_ && lines_.empty()) changed_.Wait(lock);
    if (lines_.empty()) return;
    const auto [experiment, line] = std::move(lines_.front());
    lines_.pop_front();
    lock.Unlock();
    Append(experiment, line);
    lock.Lock();
  }
}

void ExperimentLogs::Append(const std::string& experiment, const std::string& line) {
  const auto known = records_->Get(experiment);
  if (!known.ok()) return;  // The experiment was deleted meanwhile.
  const std::filesystem::path folder = files_->ExperimentFolder(known->uid());
  std::error_code error;
  if (std::filesystem::file_size(Newest(folder), error) > kFileBytesMax && !error)
    std::filesystem::rename(Newest(folder), Older(folder), error);
  // Not synced: a crash or a full disk may lose a line, which is not a result.
  const OpenedFile file = OpenFile(Newest(folder), O_WRONLY | O_APPEND | O_CREAT);
  if (file.get() >= 0) WriteAt(file, 0, line + "\n", Newest(folder)).IgnoreError();
}

absl::StatusOr<PullStream<v1::WatchLogsResponse>::Produce> WatchLogs(
    Records* records, RunFiles* files, const v1::WatchLogsRequest& request) {
  MENTOR_ASSIGN_OR_RETURN(const v1::Experiment experiment, records->Get(request.name()));
  struct State {
    LogReader reader;
    size_t skipped = 0;  // Lines before the wanted ones.
    std::deque<std::string> ready = {};
  };
  const std::filesystem::path folder = files->ExperimentFolder(experiment.uid());
  auto state = std::make_shared<State>(State{.reader = LogReader(folder)});
  if (request.tail() > 0) {
    const size_t lines = CountLines(folder);
    state->skipped = lines - std::min<size_t>(lines, request.tail());
  }
  return [records, state, name = request.name(),
          follow = request.follow()](v1::WatchLogsResponse* response) -> absl::StatusOr<Produced> {
    bool ended = !follow;
    while (state->ready.empty()) {
      if (follow) {
        // Read the state before the lines, so that the lines of the end are included.
        const auto now = records->Get(name);
        ended = !now.ok() || IsFinal(now->state());
      }
      state->reader.Read(&state->ready);
      if (state->ready.empty()) return ended ? Produced::kEnd : Produced::kNothing;
      const size_t skipped = std::min(state->skipped, state->ready.size());
      state->ready.erase(state->ready.begin(), state->ready.begin() + skipped);
      state->skipped -= skipped;
    }
    *response = ParseLine(state->ready.front());
    state->ready.pop_front();
    return Produced::kMessage;
  };
}

}  // namespace mentor::meta_learner
