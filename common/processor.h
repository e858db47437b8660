// What this machine computes with. Pure; threads may share.
#pragma once

#include <string>

namespace mentor {

// As the kernel names it, for example "AMD EPYC 9B45"; "unknown" where it names none.
std::string ProcessorName();

}  // namespace mentor
