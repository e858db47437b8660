#include "common/progress_bar.h"

#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tests/testing.h"

namespace mentor::TEST_FILE {

v1::Progress At(uint32_t done, uint32_t total) {
  v1::Progress progress;
  progress.set_outer_updates(done);
  progress.set_outer_updates_total(total);
  progress.set_seconds_left(-1);
  return progress;
}

// A terminal of 41 columns.
class Terminal {
 public:
  Terminal() {
    int slave = -1;
    const winsize size = {.ws_row = 24, .ws_col = 41, .ws_xpixel = 0, .ws_ypixel = 0};
    REQUIRE(openpty(&master_, &slave, nullptr, nullptr, &size) == 0);
    out_ = fdopen(slave, "w");
  }
  ~Terminal() {
    std::fclose(out_);
    close(master_);
  }

  std::FILE* out() { return out_; }
  // Returns the output once it has this length; a terminal delivers it in pieces.
  std::string Drawn(size_t size) {
    std::string drawn;
    pollfd readable = {.fd = master_, .events = POLLIN, .revents = 0};
    while (drawn.size() < size && poll(&readable, 1, 10000) > 0) {
      char text[400];
      const ssize_t length = read(master_, text, sizeof(text));
      if (length <= 0) break;
      drawn.append(text, length);
    }
    return drawn;
  }

 private:
  int master_ = -1;
  std::FILE* out_ = nullptr;
};

TEST_CASE("progress bar: the line says activity, updates, rate and time left", "[unit]") {
  v1::Progress progress = At(3, 12);
  progress.set_env_steps_per_second(41230);
  progress.set_seconds_left(151);
  CHECK(ProgressBar::Line(progress, "meta-training", 77) ==
        "meta-training  [#####---------------]  3/12 updates  41.2k steps/s  2:31 left");
  CHECK(ProgressBar::Line(progress, "meta-training", 77).size() == 77);
  CHECK(ProgressBar::Line(progress, "meta-training", 50) ==
        "meta-training  3/12 updates  41.2k steps/s  2:31 l");
  CHECK(ProgressBar::Line(At(0, 12), "", 40) == "waiting  [---------------]  0/12 updates");
  CHECK(ProgressBar::Line(At(0, 0), "x", 40) == "x  0/0 updates");
}

TEST_CASE("progress bar: after the last update it counts lifetimes of the evaluation", "[unit]") {
  v1::Progress progress = At(12, 12);
  progress.set_evaluation_lifetimes(50);
  progress.set_evaluation_lifetimes_total(100);
  progress.set_seconds_left(3725);
  CHECK(ProgressBar::Line(progress, "evaluating", 60) ==
        "evaluating  [#######-------]  50/100 lifetimes  1:02:05 left");
  progress.set_outer_updates(11);
  CHECK(ProgressBar::Line(progress, "x", 40).find("11/12 updates") != std::string::npos);
}

TEST_CASE("progress bar: numbers are short", "[unit]") {
  const auto tail = [](double rate, double left) {
    v1::Progress progress = At(1, 2);
    progress.set_env_steps_per_second(rate);
    progress.set_seconds_left(left);
    const std::string line = ProgressBar::Line(progress, "x", 200);
    return line.substr(line.find("updates") + 7);
  };
  CHECK(tail(0, -1) == "");
  CHECK(tail(7, 0) == "  7 steps/s  0 s left");
  CHECK(tail(999, 59.9) == "  999 steps/s  59 s left");
  CHECK(tail(1000, 60) == "  1.0k steps/s  1:00 left");
  CHECK(tail(3'140'000, 1e300) == "  3.1M steps/s  277777:46:40 left");
}

TEST_CASE("progress bar: other work is counted in its own units", "[unit]") {
  std::FILE* file = std::tmpfile();
  ProgressBar bar(file);
  bar.Show("drawing", 3, 12, "frames");
  bar.Finish();
  std::rewind(file);
  char text[200] = {};
  REQUIRE(std::fgets(text, sizeof(text), file) != nullptr);
  CHECK(std::string(text) == "drawing  [##########------------------------------]  3/12 frames\n");
  std::fclose(file);
}

TEST_CASE("progress bar: a second line is drawn below and redrawn with the first", "[unit]") {
  {
    Terminal terminal;
    ProgressBar bar(terminal.out());
    const auto detail = [](int columns) { return std::to_string(columns) + " columns"; };
    bar.Show(At(1, 2), "x", detail);
    bar.Show(At(2, 2), "x", detail);
    bar.Show(At(2, 2), "y");
    bar.Finish();
    // The terminal adds a return to each new line.
    const std::string first = "\rx  [###########-----------]  1/2 updates\x1b[K\r\r\n40 columns",
                      second = "\rx  [######################]  2/2 updates\x1b[K\r\r\n40 columns",
                      third = "\ry  [######################]  2/2 updates";
    const std::string expected =
        first + "\x1b[K" + "\x1b[1A" + second + "\x1b[J" + "\x1b[1A" + third + "\x1b[J" + "\r\n";
    CHECK(terminal.Drawn(expected.size()) == expected);
  }
  std::FILE* file = std::tmpfile();
  ProgressBar bar(file);
  bar.Show(At(1, 2), "x", [](int) { return "success 1 %"; });
  bar.Finish();
  std::rewind(file);
  char text[300] = {};
  const size_t length = std::fread(text, 1, sizeof(text), file);
  CHECK(std::string(text, length) == ProgressBar::Line(At(1, 2), "x", 100) + "\n  success 1 %\n");
  std::fclose(file);
}

TEST_CASE("progress bar: a terminal line is redrawn, a file gets plain lines", "[unit]") {
  {
    Terminal terminal;
    ProgressBar bar(terminal.out());
    bar.Show(At(1, 2), "x");
    bar.Show(At(1, 2), "x");  // The same: not drawn again.
    bar.Show(At(2, 2), "x");
    bar.Finish();
    const std::string expected =
        "\rx  [###########-----------]  1/2 updates\x1b[K\rx  [######################]  2/2 "
        "updates\x1b[K\r\n";
    CHECK(terminal.Drawn(expected.size()) == expected);
  }
  char* text = nullptr;
  size_t length = 0;
  std::FILE* file = std::tmpfile();
  {
    ProgressBar bar(file);
    bar.Show(At(1, 2), "x");
    bar.Show(At(2, 2), "x");  // Within ten seconds: not printed.
    bar.Finish();
  }
  std::rewind(file);
  REQUIRE(getline(&text, &length, file) > 0);
  CHECK(std::string(text) == ProgressBar::Line(At(1, 2), "x", 100) + "\n");
  CHECK(getline(&text, &length, file) == -1);
  std::free(text);
  std::fclose(file);
}

}  // namespace mentor::TEST_FILE
