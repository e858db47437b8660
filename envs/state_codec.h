// Bytes of saved environment states. Pure; threads may share.
//
//   state := magic name_length:u32 name count:u64 number:f64 * count
//
// Little-endian; magic is "MENVST01".
//
// All environments write doubles only, so a state is checked in one place: that it belongs to the
// environment, has the length that the environment expects and is finite.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>

namespace mentor::envs {

std::string EncodeState(std::string_view environment, std::span<const double> numbers);

// Copies the numbers into `out`. INVALID_ARGUMENT names the difference from what was expected. With
// `rest`, other bytes may follow the numbers and are returned there: a wrapper's state is its own
// numbers, then the state of the environment inside.
absl::Status DecodeState(std::string_view environment, std::string_view state, size_t min_count,
                         size_t max_count, std::vector<double>* out,
                         std::string_view* rest = nullptr);

}  // namespace mentor::envs
