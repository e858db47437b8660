#include "mentor/ctl/event_file.h"

#include <cstring>

#include "common/hash.h"

namespace mentor::ctl {
namespace {

// Wire types of protobuf.
enum Wire : uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

void AddVarint(uint64_t value, std::string* out) {
  for (; value >= 0x80; value >>= 7) *out += static_cast<char>(value | 0x80);
  *out += static_cast<char>(value);
}

void AddTag(uint32_t field, Wire wire, std::string* out) {
  AddVarint(field << 3 | wire, out);
}

// Bytes in little-endian order, whatever the machine's.
void AddLittle(uint64_t value, int bytes, std::string* out) {
  for (int i = 0; i < bytes; ++i) *out += static_cast<char>(value >> (8 * i));
}

void AddDouble(uint32_t field, double value, std::string* out) {
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  AddTag(field, kFixed64, out);
  AddLittle(bits, 8, out);
}

void AddFloat(uint32_t field, float value, std::string* out) {
  uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  AddTag(field, kFixed32, out);
  AddLittle(bits, 4, out);
}

void AddBytes(uint32_t field, std::string_view bytes, std::string* out) {
  AddTag(field, kBytes, out);
  AddVarint(bytes.size(), out);
  *out += bytes;
}

uint32_t Masked(uint32_t crc) {
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

}  // namespace

std::string TfRecord(std::string_view data) {
  std::string length;
  AddLittle(data.size(), 8, &length);
  std::string frame = length;
  AddLittle(Masked(Crc32c(length)), 4, &frame);
  frame += data;
  AddLittle(Masked(Crc32c(data)), 4, &frame);
  return frame;
}

std::string EventFileHeader(double wall_time_s) {
  std::string event;
  AddDouble(1, wall_time_s, &event);
  AddBytes(3, "brain.Event:2", &event);
  return TfRecord(event);
}

std::string ScalarEvent(double wall_time_s, int64_t step, const std::vector<Scalar>& scalars) {
  std::string summary;
  for (const Scalar& scalar : scalars) {
    std::string value;
    AddBytes(1, scalar.tag, &value);
    AddFloat(2, static_cast<float>(scalar.value), &value);
    AddBytes(1, value, &summary);
  }
  std::string event;
  AddDouble(1, wall_time_s, &event);
  AddTag(2, kVarint, &event);
  AddVarint(static_cast<uint64_t>(step), &event);
  AddBytes(5, summary, &event);
  return TfRecord(event);
}

}  // namespace mentor::ctl
