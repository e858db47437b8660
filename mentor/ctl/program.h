// The main function of mentorctl.
#pragma once

namespace mentor::ctl {

// Returns the exit code.
int Main(int argc, char** argv);

}  // namespace mentor::ctl
