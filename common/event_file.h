// TensorBoard's event files: scalars by step, under the tags of mentor-sync. Pure; threads may
// share. A file is a sequence of frames around Events (proto/mentor/tensorboard/event.proto), the
// first of which has the version:
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

// One frame around bytes.
std::string TfRecord(std::string_view data);
// The first frame of a file.
std::string EventFileHeader(double wall_time_s);
// Where TensorBoard shows a metric: "lifetimes/seg0" where every experiment has it, "time/..." of
// these for seconds and bytes, "outer/..." of rules, inner loops and curricula.
std::string GroupedTag(std::string_view metric);
// The tag of the metric that every outer update has.
inline constexpr char kEnvStepsTag[] = "lifetimes/env_steps";

// The frame of one step.
std::string ScalarEvent(double wall_time_s, int64_t step, const std::vector<Scalar>& scalars);

// What a file holds up to its first frame that is torn or damaged.
struct EventFileContents {
  std::vector<tensorboard::Event> events;  // The one with the version included.
  size_t bytes = 0;                        // Of their frames.
};
EventFileContents ReadEventFile(std::string_view file);

}  // namespace mentor
