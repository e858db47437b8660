// Progress of an experiment for people: one or two lines, redrawn on a terminal; otherwise plain
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

// "41.2k", "7", "3.1M", "2.0G".
std::string ShortCount(double value);
// "45 s", "2:31", "26:05:00".
std::string ShortSpan(double seconds);

class ProgressBar {
 public:
  // `out` must stay open longer than the bar.
  explicit ProgressBar(std::FILE* out = stderr);

  // Returns a second line of at most `columns` columns; an empty line is left out.
  using Detail = std::function<std::string(int columns)>;
  void Show(const v1::Progress& progress, std::string_view activity,
            const Detail& detail = nullptr);
  // For other work: `done` of `total` things called `unit`. Estimates the time left from the pace
  // since the activity began.
  void Show(std::string_view activity, int done, int total, std::string_view unit);
  // Ends the line, so that other output may follow. Show begins a new one.
  void Finish();

  // Returns "meta-training  [####------]  12/30 updates  41.2k steps/s  2:31 left", at most
  // `columns` wide. The bar is left out if there is no room.
  static std::string Line(const v1::Progress& progress, std::string_view activity, int columns);

 private:
  using Clock = std::chrono::steady_clock;

  // Draws one line and the detail below it. On a terminal the line is cut to the terminal's width.
  void ShowLine(const std::function<std::string(int columns)>& line, const Detail& detail = {});

  std::FILE* const out_;
  const bool terminal_;

  std::string shown_;  // Current text on the terminal, or the last printed text.
  std::optional<Clock::time_point> printed_;
  std::string activity_;  // The activity shown, and since when.
  Clock::time_point began_ = {};
};

}  // namespace mentor
