// Names this machine's processor. Pure; threads may share.
#pragma once

#include <string>

namespace mentor {

// Returns the kernel's name, for example "AMD EPYC 9B45"; "unknown" if there is none.
std::string ProcessorName();

}  // namespace mentor
