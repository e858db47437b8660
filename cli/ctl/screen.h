// A full-screen terminal for live views: an alternate screen without cursor and echo. The
// destructor and exits by signal restore the terminal. One thread; RestoreScreen from any.
#pragma once

#include <string>
#include <vector>

namespace mentor::ctl {

class Screen {
 public:
  // True if stdout and stdin are terminals.
  static bool Possible();
  Screen();
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  // Replaces the shown lines; lines that do not fit are left out.
  void Show(const std::vector<std::string>& lines);
  static int columns();
  static int rows();
  // True if 'q' was typed since the last call. Does not block.
  bool QuitTyped();
};

// Restores the terminal after a Screen that was not destroyed; does nothing without a Screen.
void RestoreScreen();

}  // namespace mentor::ctl
