// Writes scalars as a TensorBoard event file: TFRecord frames around Event messages. Pure; threads
// may share. What TensorBoard reads is fixed by the format: a frame is
//
//   length (8 bytes, little-endian), masked CRC32C of the length (4), data, masked CRC32C of it (4)
//
// with masked(crc) = rotate_right(crc, 15) + 0xa282ead8, and the data one Event in protobuf's wire
// format: wall_time = 1 (double), step = 2 (int64), file_version = 3 (string), summary = 5, whose
// values (1) have tag = 1 (string) and simple_value = 2 (float).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mentor::ctl {

struct Scalar {
  std::string tag;
  double value = 0;  // Stored as float.
};

// One frame around bytes.
std::string TfRecord(std::string_view data);
// The first frame of a file.
std::string EventFileHeader(double wall_time_s);
// The frame of one step.
std::string ScalarEvent(double wall_time_s, int64_t step, const std::vector<Scalar>& scalars);

}  // namespace mentor::ctl
