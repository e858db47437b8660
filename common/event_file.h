// TensorBoard's event files: scalars by step, under the tags of mentor-sync. Pure; threads may
// share. A file is a sequence of frames around Events (proto/mentor/tensorboard/event.proto). The
// first Event has the version. A frame is:
//
//   length (8 bytes, little-endian), masked CRC32C of the length (4), data, masked CRC32C of it (4)
//
// with masked(crc) = rotate_right(crc, 15) + 0xa282ead8.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mentor/tensorboard/event.pb.h"

namespace mentor {

struct Scalar {
  std::string tag;
  double value = 0;  // Stored as float.
};

// Returns a frame around `data`.
std::string TfRecord(std::string_view data);
// Returns the first frame of a file.
std::string EventFileHeader(double wall_time_s);
// Returns TensorBoard's tag of a metric. Metrics of every experiment are "lifetimes/seg0", or
// "time/..." if they are seconds or bytes. Metrics of rules, inner loops and curricula are
// "outer/...".
std::string GroupedTag(std::string_view metric);
// Tag of a metric that every outer update has.
inline constexpr char kEnvStepsTag[] = "lifetimes/env_steps";

// Returns the frame of one step.
std::string ScalarEvent(double wall_time_s, int64_t step, const std::vector<Scalar>& scalars);

// Contents of a file up to its first torn or damaged frame.
struct EventFileContents {
  std::vector<tensorboard::Event> events;  // Including the one with the version.
  size_t bytes = 0;                        // Size of their frames.
};
EventFileContents ReadEventFile(std::string_view file);

}  // namespace mentor
