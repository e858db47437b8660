#include "common/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <nlohmann/json.hpp>

#include "common/check.h"
#include "common/printable.h"

namespace mentor {
namespace {

// Not ordered_json, whose lookups search all names.
using SafeJson = nlohmann::json;

static_assert(std::endian::native == std::endian::little);
constexpr size_t kLengthBytes = 8;
// Some 70,000 tensors; a signal network has a few dozen. The safetensors library allows 100 MB.
constexpr uint64_t kHeaderBytesMax = 4 << 20;
constexpr char kMetadata[] = "__metadata__";

// Returns the bytes of one number; 0: unknown dtype.
uint64_t WidthOf(std::string_view dtype) {
  if (dtype == "F64" || dtype == "I64") return 8;
  if (dtype == "F32") return 4;
  return dtype == "U8" ? 1 : 0;
}

absl::Status SafeTensorError(const std::string& what) {
  return absl::InvalidArgumentError("safetensors: " + Printable(what));
}

// Returns false if the product overflows.
bool BytesOf(const SafeTensor& tensor, uint64_t* bytes) {
  *bytes = WidthOf(tensor.dtype);
  for (const int64_t axis : tensor.shape) {
    if (axis < 0) return false;
    if (axis > 0 && *bytes > std::numeric_limits<uint64_t>::max() / static_cast<uint64_t>(axis))
      return false;
    *bytes *= static_cast<uint64_t>(axis);
  }
  return true;
}

struct PlacedTensor {
  SafeTensor tensor;
  uint64_t begin = 0, end = 0;
};

absl::StatusOr<PlacedTensor> ReadEntry(const std::string& name, const SafeJson& entry) {
  PlacedTensor placed;
  placed.tensor.name = name;
  const auto dtype = entry.is_object() ? entry.find("dtype") : entry.end();
  const auto shape = entry.is_object() ? entry.find("shape") : entry.end();
  const auto offsets = entry.is_object() ? entry.find("data_offsets") : entry.end();
  if (!entry.is_object() || dtype == entry.end() || shape == entry.end() ||
      offsets == entry.end() || !dtype->is_string() || !shape->is_array() || !offsets->is_array() ||
      offsets->size() != 2)
    return SafeTensorError(absl::StrCat("tensor '", name, "' needs dtype, shape and data_offsets"));
  placed.tensor.dtype = dtype->get<std::string>();
  if (WidthOf(placed.tensor.dtype) == 0) {
    return SafeTensorError(absl::StrCat("tensor '", name, "' has dtype ", placed.tensor.dtype,
                                        "; known: F32, F64, I64, U8"));
  }
  for (const SafeJson& axis : *shape) {
    if (!axis.is_number_unsigned() || axis.get<uint64_t>() > (uint64_t{1} << 40))
      return SafeTensorError(absl::StrCat("tensor '", name, "' has a shape that is none"));
    placed.tensor.shape.push_back(axis.get<int64_t>());
  }
  for (const SafeJson& offset : *offsets) {
    if (!offset.is_number_unsigned())
      return SafeTensorError(absl::StrCat("tensor '", name, "' has invalid data_offsets"));
  }
  placed.begin = (*offsets)[0].get<uint64_t>();
  placed.end = (*offsets)[1].get<uint64_t>();
  uint64_t bytes = 0;
  if (!BytesOf(placed.tensor, &bytes) || placed.begin > placed.end ||
      placed.end - placed.begin != bytes) {
    return SafeTensorError(absl::StrFormat(
        "tensor '%s' has data from %d to %d, which does not fit its shape and dtype", name,
        placed.begin, placed.end));
  }
  return placed;
}

}  // namespace

std::string WriteSafeTensors(const SafeTensors& file) {
  std::vector<const SafeTensor*> order;
  for (const SafeTensor& tensor : file.tensors) order.push_back(&tensor);
  std::stable_sort(order.begin(), order.end(), [](const SafeTensor* a, const SafeTensor* b) {
    return WidthOf(a->dtype) > WidthOf(b->dtype);
  });
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!file.metadata.empty()) header[kMetadata] = file.metadata;
  uint64_t at = 0;
  for (const SafeTensor* tensor : order) {
    uint64_t bytes = 0;
    MENTOR_CHECK(WidthOf(tensor->dtype) > 0 && BytesOf(*tensor, &bytes));
    MENTOR_CHECK(bytes == tensor->data.size() && !header.contains(tensor->name));
    header[tensor->name] = {
        {"dtype", tensor->dtype}, {"shape", tensor->shape}, {"data_offsets", {at, at + bytes}}};
    at += bytes;
  }
  std::string text = header.dump();
  text.resize((text.size() + kLengthBytes - 1) / kLengthBytes * kLengthBytes, ' ');
  const uint64_t length = text.size();
  std::string bytes(kLengthBytes, '\0');
  std::memcpy(bytes.data(), &length, kLengthBytes);
  bytes += text;
  for (const SafeTensor* tensor : order) bytes += tensor->data;
  return bytes;
}

absl::StatusOr<SafeTensors> ReadSafeTensors(std::string_view bytes) {
  uint64_t length = 0;
  if (bytes.size() < kLengthBytes) return SafeTensorError("the file is too short");
  std::memcpy(&length, bytes.data(), kLengthBytes);
  if (length > kHeaderBytesMax || length > bytes.size() - kLengthBytes) {
    return SafeTensorError(
        absl::StrFormat("the header's length is %d; the file has %d bytes, and a header at most %d",
                        length, bytes.size(), kHeaderBytesMax));
  }
  // If a name occurs twice, the last entry counts.
  const auto header =
      SafeJson::parse(bytes.substr(kLengthBytes, length), nullptr, /*allow_exceptions=*/false);
  if (!header.is_object()) return SafeTensorError("the header is not a JSON object");
  const std::string_view data = bytes.substr(kLengthBytes + length);
  SafeTensors file;
  std::vector<PlacedTensor> placed;
  for (const auto& [name, entry] : header.items()) {
    if (name == kMetadata) {
      if (!entry.is_object()) return SafeTensorError("__metadata__ is not an object");
      for (const auto& [key, text] : entry.items()) {
        if (!text.is_string()) return SafeTensorError("__metadata__ has a value that is not text");
        file.metadata[key] = text.get<std::string>();
      }
      continue;
    }
    auto one = ReadEntry(name, entry);
    if (!one.ok()) return one.status();
    placed.push_back(*std::move(one));
  }
  // Sorts an empty tensor before the tensor that begins at the same offset.
  std::stable_sort(placed.begin(), placed.end(), [](const PlacedTensor& a, const PlacedTensor& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  uint64_t at = 0;
  for (PlacedTensor& one : placed) {
    if (one.begin != at || one.end > data.size()) {
      return SafeTensorError(absl::StrFormat(
          "tensor '%s' has data from %d to %d, but data from %d on are expected, of %d",
          one.tensor.name, one.begin, one.end, at, data.size()));
    }
    one.tensor.data = std::string(data.substr(one.begin, one.end - one.begin));
    at = one.end;
    file.tensors.push_back(std::move(one.tensor));
  }
  if (at != data.size()) {
    return SafeTensorError(
        absl::StrFormat("the data are %d bytes, but the tensors' %d", data.size(), at));
  }
  return file;
}

}  // namespace mentor
