#include "meta_learner/control/logs.h"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <vector>

#include <google/protobuf/util/time_util.h>
#include <nlohmann/json.hpp>

#include "common/check.h"
#include "common/file.h"
#include "common/log.h"

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
    entry.set_message(line);
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

std::vector<std::string> Lines(const std::filesystem::path& file) {
  std::vector<std::string> lines;
  std::ifstream stream(file);
  for (std::string line; std::getline(stream, line);) lines.push_back(std::move(line));
  return lines;
}

}  // namespace

ExperimentLogs::ExperimentLogs(ExperimentStore* store)
    : store_(store), thread_([this] { Work(); }) {
  log::SetObserver([this](std::string_view experiment, const std::string& line) {
    const MutexLock lock(mutex_);
    if (lines_.size() >= kLinesWaitingMax) return;  // The process's log has it.
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
  const auto known = store_->Get(experiment);
  if (!known.ok()) return;  // Deleted in the meantime.
  const std::filesystem::path folder = store_->ExperimentFolder(known->uid());
  std::error_code error;
  if (std::filesystem::file_size(Newest(folder), error) > kFileBytesMax && !error)
    std::filesystem::rename(Newest(folder), Older(folder), error);
  // A line may be lost with the machine or on a full disk: it is not a result.
  std::ofstream(Newest(folder), std::ios::app) << line + "\n";
}

absl::StatusOr<PullStream<v1::WatchLogsResponse>::Produce> WatchLogs(
    ExperimentStore* store, const v1::WatchLogsRequest& request) {
  MENTOR_ASSIGN_OR_RETURN(const v1::Experiment experiment, store->Get(request.name()));
  struct State {
    std::deque<std::string> ready;
    std::ifstream stream;
    bool ended = false;
  };
  auto state = std::make_shared<State>();
  const std::filesystem::path folder = store->ExperimentFolder(experiment.uid());
  for (std::string& line : Lines(Older(folder))) state->ready.push_back(std::move(line));
  for (std::string& line : Lines(Newest(folder))) state->ready.push_back(std::move(line));
  std::error_code error;
  const auto seen = std::filesystem::file_size(Newest(folder), error);
  if (request.tail() > 0 && state->ready.size() > request.tail())
    state->ready.erase(state->ready.begin(), state->ready.end() - request.tail());
  return [store, state, folder, name = request.name(), follow = request.follow(),
          at = error ? uintmax_t{0}
                     : seen](v1::WatchLogsResponse* response) mutable -> absl::StatusOr<Produced> {
    if (state->ready.empty() && follow && !state->ended) {
      // The state before the lines: those of the end are then among them.
      const auto now = store->Get(name);
      state->ended = !now.ok() || IsFinal(now->state());
      std::error_code error;
      const auto size = std::filesystem::file_size(Newest(folder), error);
      if (!error && size < at) at = 0;  // A new file has begun.
      std::ifstream stream(Newest(folder));
      stream.seekg(static_cast<std::streamoff>(at));
      for (std::string line; std::getline(stream, line) && !stream.eof();) {
        at += line.size() + 1;
        state->ready.push_back(std::move(line));
      }
    }
    if (state->ready.empty()) return follow && !state->ended ? Produced::kNothing : Produced::kEnd;
    *response = ParseLine(state->ready.front());
    state->ready.pop_front();
    return Produced::kMessage;
  };
}

}  // namespace mentor::meta_learner
