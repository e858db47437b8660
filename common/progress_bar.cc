#include "common/progress_bar.h"

#include <algorithm>
#include <cmath>

#include <absl/strings/str_format.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace mentor {
namespace {

constexpr std::chrono::seconds kPlainPeriod{10};
constexpr int kPlainColumns = 100;
constexpr int kBarColumnsMax = 40;

int TerminalColumns(std::FILE* out) {
  winsize size;
  return ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

// Returns "activity  [####------]tail", without the bar if there is no room for it.
std::string Assemble(std::string_view activity, uint32_t done, uint32_t total,
                     const std::string& tail, int columns) {
  std::string line(activity);
  const int room =
      columns - static_cast<int>(line.size() + tail.size()) - 4;  // Two spaces and two brackets.
  const int bar = std::min(room, kBarColumnsMax);
  if (bar >= 5 && total > 0) {
    const auto filled = static_cast<size_t>(std::min<uint64_t>(uint64_t{done} * bar / total, bar));
    line += "  [" + std::string(filled, '#') + std::string(bar - filled, '-') + "]";
  }
  line += tail;
  return line.substr(0, std::max(columns, 0));
}

}  // namespace

std::string ShortCount(double value) {
  if (value >= 999'950'000) return absl::StrFormat("%.1fG", value / 1e9);
  if (value >= 999'950) return absl::StrFormat("%.1fM", value / 1e6);
  if (value >= 1000) return absl::StrFormat("%.1fk", value / 1e3);
  return absl::StrFormat("%.0f", value);
}

std::string ShortSpan(double seconds) {
  const auto whole = static_cast<int64_t>(std::min(seconds, 1e9));
  if (whole < 60) return absl::StrFormat("%d s", whole);
  if (whole < 3600) return absl::StrFormat("%d:%02d", whole / 60, whole % 60);
  return absl::StrFormat("%d:%02d:%02d", whole / 3600, whole / 60 % 60, whole % 60);
}

ProgressBar::ProgressBar(std::FILE* out) : out_(out), terminal_(isatty(fileno(out)) == 1) {}

std::string ProgressBar::Line(const v1::Progress& progress, std::string_view activity,
                              int columns) {
  const bool evaluating = progress.evaluation_lifetimes_total() > 0 &&
                          progress.outer_updates() >= progress.outer_updates_total();
  const uint32_t done = evaluating ? progress.evaluation_lifetimes() : progress.outer_updates();
  const uint32_t total =
      evaluating ? progress.evaluation_lifetimes_total() : progress.outer_updates_total();
  std::string tail =
      absl::StrFormat("  %d/%d %s", done, total, evaluating ? "lifetimes" : "updates");
  if (progress.env_steps_per_second() > 0)
    tail += "  " + ShortCount(progress.env_steps_per_second()) + " steps/s";
  if (progress.seconds_left() >= 0 && std::isfinite(progress.seconds_left()) && done < total) {
    tail += "  " + ShortSpan(progress.seconds_left()) + " left";
  }
  return Assemble(activity.empty() ? "waiting" : activity, done, total, tail, columns);
}

void ProgressBar::Show(const v1::Progress& progress, std::string_view activity,
                       const Detail& detail) {
  ShowLine([&](int columns) { return Line(progress, activity, columns); }, detail);
}

void ProgressBar::Show(std::string_view activity, int done, int total, std::string_view unit) {
  const Clock::time_point now = Clock::now();
  if (activity_ != activity) {
    activity_ = activity;
    began_ = now;
  }
  std::string tail = absl::StrFormat("  %d/%d ", done, total) + std::string(unit);
  const double seconds = std::chrono::duration<double>(now - began_).count();
  if (done > 0 && done < total && seconds > 1)
    tail += "  " + ShortSpan(seconds * (total - done) / done) + " left";
  ShowLine([&](int columns) {
    return Assemble(activity, static_cast<uint32_t>(done), static_cast<uint32_t>(total), tail,
                    columns);
  });
}

void ProgressBar::ShowLine(const std::function<std::string(int columns)>& line,
                           const Detail& detail) {
  const auto text_of = [&](int columns, std::string_view line_end) {
    std::string text = line(columns);
    const std::string below = detail ? detail(columns) : "";
    if (!below.empty()) (text += line_end) += below;
    return text;
  };
  if (terminal_) {
    // \x1b[K clears the rest of an older, longer line.
    const std::string text = text_of(TerminalColumns(out_) - 1, "\x1b[K\r\n");
    if (text == shown_) return;
    // Moves back to the first line; clears the rest, including an old second line.
    const bool second = shown_.find('\n') != std::string::npos;
    std::fprintf(out_, "%s\r%s\x1b[%s", second ? "\x1b[1A" : "", text.c_str(), second ? "J" : "K");
    shown_ = text;
  } else {
    const Clock::time_point now = Clock::now();
    if (printed_ && now - *printed_ < kPlainPeriod) return;
    const std::string text = text_of(kPlainColumns, "\n  ");
    if (text == shown_) return;
    printed_ = now;
    shown_ = text;
    std::fprintf(out_, "%s\n", text.c_str());
  }
  std::fflush(out_);
}

void ProgressBar::Finish() {
  if (terminal_ && !shown_.empty()) std::fprintf(out_, "\n");
  std::fflush(out_);
  shown_.clear();
  printed_.reset();
}

}  // namespace mentor
