// Files of named tensors as other programs read them (safetensors): nothing in them is ever run.
//
//   8 bytes         length of the header, little-endian
//   header          JSON: {"__metadata__": {"name": "text"}, "tensor": {"dtype": "F32", "shape":
//                   [2, 3], "data_offsets": [begin, end]}, ...}, spaces up to a multiple of 8;
//                   at most 4 MiB
//   data            the tensors' numbers, little-endian, without gaps; offsets count from here
//
// Pure functions; threads may share.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

namespace mentor {

struct SafeTensor {
  std::string name;
  std::string dtype = "F32";  // F32, F64, I64 or U8.
  std::vector<int64_t> shape = {};
  std::string data = {};  // Of this machine's, which is little-endian.
};

struct SafeTensors {
  std::map<std::string, std::string> metadata = {};
  std::vector<SafeTensor> tensors = {};
};

// The wide ones first, so that all are aligned; else in the given order. Names are unique, and data
// as long as dtype and shape say.
std::string WriteSafeTensors(const SafeTensors& file);

// In the order of their data. INVALID_ARGUMENT says what is wrong where.
absl::StatusOr<SafeTensors> ReadSafeTensors(std::string_view bytes);

}  // namespace mentor
