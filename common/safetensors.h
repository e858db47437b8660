// Files of named tensors for other programs (safetensors): nothing in them is ever executed.
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
  std::string data = {};  // In this machine's byte order, which is little-endian.
};

struct SafeTensors {
  std::map<std::string, std::string> metadata = {};
  std::vector<SafeTensor> tensors = {};
};

// Writes wide types first, so that all data are aligned; otherwise in the given order. Names must
// be unique, and data must match dtype and shape.
std::string WriteSafeTensors(const SafeTensors& file);

// Returns tensors in the order of their data. INVALID_ARGUMENT says what is wrong where.
absl::StatusOr<SafeTensors> ReadSafeTensors(std::string_view bytes);

}  // namespace mentor
