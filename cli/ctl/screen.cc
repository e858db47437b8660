#include "cli/ctl/screen.h"

#include <atomic>
#include <cstdio>

#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

namespace mentor::ctl {
namespace {

std::atomic<bool> active{false};
termios before;

void Write(const std::string& text) {
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t count = write(STDOUT_FILENO, text.data() + done, text.size() - done);
    if (count <= 0) return;
    done += static_cast<size_t>(count);
  }
}

winsize Size() {
  winsize size = {};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) {
    size.ws_col = 80;
    size.ws_row = 24;
  }
  return size;
}

}  // namespace

bool Screen::Possible() {
  return isatty(STDOUT_FILENO) == 1 && isatty(STDIN_FILENO) == 1;
}

Screen::Screen() {
  tcgetattr(STDIN_FILENO, &before);
  termios quiet = before;
  quiet.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
  active = true;
  tcsetattr(STDIN_FILENO, TCSANOW, &quiet);
  Write("\x1b[?1049h\x1b[?25l");  // Alternate screen, no cursor.
}

Screen::~Screen() {
  RestoreScreen();
}

void RestoreScreen() {
  if (!active.exchange(false)) return;
  Write("\x1b[?25h\x1b[?1049l");
  tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

void Screen::Show(const std::vector<std::string>& lines) {
  std::string text = "\x1b[H";
  const int rows = Size().ws_row;
  for (int i = 0; i < rows && i < static_cast<int>(lines.size()); ++i) {
    if (i > 0) text += "\r\n";
    text += lines[i] + "\x1b[K";  // Erase the rest of an older, longer line.
  }
  Write(text + "\x1b[J");
}

int Screen::columns() {
  return Size().ws_col;
}
int Screen::rows() {
  return Size().ws_row;
}

bool Screen::QuitTyped() {
  bool quit = false;
  pollfd input = {.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
  while (poll(&input, 1, 0) == 1 && (input.revents & POLLIN) != 0) {
    char c = 0;
    if (read(STDIN_FILENO, &c, 1) != 1) break;
    quit |= c == 'q' || c == 'Q';
  }
  return quit;
}

}  // namespace mentor::ctl
