// The whole terminal for a live view: an alternate screen without cursor and echo, which is given
// back at the end and before an exit by signal. One thread; RestoreScreen from any.
#pragma once

#include <string>
#include <vector>

namespace mentor::ctl {

class Screen {
 public:
  // stdout and stdin are terminals.
  static bool Possible();
  Screen();
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  // Replaces what is shown; lines that do not fit are left out.
  void Show(const std::vector<std::string>& lines);
  int columns() const;
  int rows() const;
  // True when 'q' was typed since the last call. Does not wait.
  bool QuitTyped();
};

// What a terminal needs after a Screen that was not destroyed; nothing happens without one.
void RestoreScreen();

}  // namespace mentor::ctl
