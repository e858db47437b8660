#include "common/event_file.h"

#include <utility>

#include "common/experiment_metrics.h"
#include "common/hash.h"

namespace mentor {
namespace {

constexpr size_t kHeadBytes = 8 + 4, kTailBytes = 4;

// Returns little-endian bytes on every machine.
std::string Little(uint64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i));
  return text;
}

uint64_t FromLittle(std::string_view bytes) {
  uint64_t value = 0;
  for (size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[i]);
  return value;
}

std::string MaskedCrc(std::string_view bytes) {
  const uint32_t crc = Crc32c(bytes);
  return Little(((crc >> 15) | (crc << 17)) + 0xa282ead8u, 4);
}

}  // namespace

std::string TfRecord(std::string_view data) {
  const std::string length = Little(data.size(), 8);
  return length + MaskedCrc(length) + std::string(data) + MaskedCrc(data);
}

std::string EventFileHeader(double wall_time_s) {
  tensorboard::Event event;
  event.set_wall_time(wall_time_s);
  event.set_file_version("brain.Event:2");
  return TfRecord(event.SerializeAsString());
}

std::string GroupedTag(std::string_view metric) {
  const MetricInfo* common = FindMetric(CommonMetrics(), metric);
  const char* group = common == nullptr ? "outer/" : common->unit == "1" ? "lifetimes/" : "time/";
  return group + std::string(metric);
}

std::string ScalarEvent(double wall_time_s, int64_t step, const std::vector<Scalar>& scalars) {
  tensorboard::Event event;
  event.set_wall_time(wall_time_s);
  event.set_step(step);
  for (const Scalar& scalar : scalars) {
    tensorboard::Summary::Value& value = *event.mutable_summary()->add_value();
    value.set_tag(scalar.tag);
    value.set_simple_value(static_cast<float>(scalar.value));
  }
  return TfRecord(event.SerializeAsString());
}

EventFileContents ReadEventFile(std::string_view file) {
  EventFileContents contents;
  while (file.size() - contents.bytes >= kHeadBytes + kTailBytes) {
    const std::string_view rest = file.substr(contents.bytes);
    const uint64_t length = FromLittle(rest.substr(0, 8));
    if (rest.substr(8, 4) != MaskedCrc(rest.substr(0, 8)) ||
        length > rest.size() - kHeadBytes - kTailBytes)
      break;
    const std::string_view data = rest.substr(kHeadBytes, length);
    tensorboard::Event event;
    if (rest.substr(kHeadBytes + length, kTailBytes) != MaskedCrc(data) ||
        !event.ParseFromArray(data.data(), static_cast<int>(data.size())))
      break;
    contents.events.push_back(std::move(event));
    contents.bytes += kHeadBytes + length + kTailBytes;
  }
  return contents;
}

}  // namespace mentor
