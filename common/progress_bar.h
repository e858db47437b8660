// How far an experiment is, for people: one line, or two, redrawn on a terminal; elsewhere plain
// lines every ten seconds. One thread.
#pragma once

#include <chrono>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "mentor/v1/experiment.pb.h"

namespace mentor {

class ProgressBar {
 public:
  // `out` stays open longer than the bar.
  explicit ProgressBar(std::FILE* out = stderr);

  // Makes a second line of at most so many columns; an empty one is left out.
  using Detail = std::function<std::string(int columns)>;
  void Show(const v1::Progress& progress, std::string_view activity,
            const Detail& detail = nullptr);
  // For other work: `done` of `total` things called `unit`, with the time left at the pace since
  // the activity began.
  void Show(std::string_view activity, int done, int total, std::string_view unit);
  // Ends the line, so that other output may follow. Show begins a new one.
  void Finish();

  // "meta-training  [####------]  12/30 updates  41.2k steps/s  2:31 left", at most `columns` wide;
  // without the bar when there is no room for it.
  static std::string Line(const v1::Progress& progress, std::string_view activity, int columns);

 private:
  using Clock = std::chrono::steady_clock;

  // Draws one line, on a terminal at most as wide as the terminal, and the detail below it.
  void ShowLine(const std::function<std::string(int columns)>& line, const Detail& detail = {});

  // Fixed after construction.
  std::FILE* const out_;
  const bool terminal_;

  std::string shown_;  // What stands on the terminal, or was printed last.
  std::optional<Clock::time_point> printed_;
  std::string activity_;  // Since when it is shown:
  Clock::time_point began_ = {};
};

}  // namespace mentor
