#include "common/safetensors.h"

#include <cstring>

#include "tests/testing.h"
#include "tests/text.h"

namespace mentor::TEST_FILE {

using mentor::testing::Contains;

std::string Floats(const std::vector<float>& numbers) {
  return {reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(float)};
}

SafeTensors TwoTensors() {
  return {.metadata = {{"network", "mlp"}},
          .tensors = {{.name = "a.W", .shape = {2, 1}, .data = Floats({1, -2})},
                      {.name = "time", .dtype = "F64", .shape = {}, .data = std::string(8, '\0')}}};
}

// A file with this header and data.
std::string FileOf(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  std::string bytes(sizeof length, '\0');
  std::memcpy(bytes.data(), &length, sizeof length);
  return bytes + header + data;
}

// A header of so many empty tensors.
std::string ManyNames(int count) {
  std::string header = "{";
  for (int i = 0; i < count; ++i) {
    header += (i == 0 ? "\"" : ",\"") + std::to_string(i) +
              R"(":{"dtype":"F32","shape":[0],"data_offsets":[0,0]})";
  }
  return header + "}";
}

TEST_CASE("safetensors: what is written reads again, the wide numbers first", "[unit]") {
  const std::string bytes = WriteSafeTensors(TwoTensors());
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  CHECK(length % 8 == 0);
  CHECK(bytes.size() == 8 + length + 8 + 8);  // Two floats, one double.
  const auto read = ReadSafeTensors(bytes);
  INFO(read.status());
  REQUIRE(read.ok());
  CHECK(read->metadata == TwoTensors().metadata);
  REQUIRE(read->tensors.size() == 2);
  CHECK(read->tensors[0].name == "time");
  CHECK(read->tensors[0].shape.empty());
  CHECK(read->tensors[1].name == "a.W");
  CHECK(read->tensors[1].shape == std::vector<int64_t>{2, 1});
  CHECK(read->tensors[1].data == Floats({1, -2}));
  CHECK(WriteSafeTensors(*read) == bytes);
}

TEST_CASE("safetensors: the bytes are those of the format's own writer", "[unit]") {
  const SafeTensors one = {.tensors = {{.name = "x", .shape = {1}, .data = Floats({1})}}};
  const std::string header = R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  CHECK(WriteSafeTensors(one) ==
        FileOf(header + std::string(64 - 8 - header.size(), ' '), Floats({1})));
}

TEST_CASE("safetensors: a header of many names is read", "[unit]") {
  const auto read = ReadSafeTensors(FileOf(ManyNames(60'000), ""));
  INFO(read.status());
  REQUIRE(read.ok());
  CHECK(read->tensors.size() == 60'000);
}

TEST_CASE("safetensors: what is wrong is named", "[unit]") {
  struct Case {
    std::string bytes, says;
  };
  const std::string four(4, '\0');
  const auto entry = [](const std::string& text) { return "{\"x\":" + text + "}"; };
  const std::vector<Case> cases = {
      {"short", "too short"},
      {FileOf("{}", "").substr(0, 9), "header's length is 2"},
      {FileOf("[]", ""), "not a JSON object"},
      {FileOf("{", ""), "not a JSON object"},
      {FileOf(entry("1"), four), "needs dtype, shape and data_offsets"},
      {FileOf(entry(R"({"dtype":"BF16","shape":[2],"data_offsets":[0,4]})"), four), "dtype BF16"},
      {FileOf(entry(R"({"dtype":"F32","shape":[-1],"data_offsets":[0,4]})"), four), "shape"},
      {FileOf(entry(R"({"dtype":"F32","shape":[2],"data_offsets":[0,4]})"), four),
       "does not fit its shape and dtype"},
      {FileOf(entry(R"({"dtype":"F32","shape":[1099511627776,1099511627776],)"
                    R"("data_offsets":[0,4]})"),
              four),
       "does not fit its shape and dtype"},
      {FileOf(entry(R"({"dtype":"F32","shape":[1],"data_offsets":[4,8]})"), four + four),
       "'x' has data from 4 to 8"},
      {FileOf(entry(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4]})"), ""), "of 0"},
      {FileOf("{}", four), "the data are 4 bytes"},
      {FileOf(R"({"__metadata__":{"a":1}})", ""), "__metadata__"},
      {FileOf(entry(R"({"dtype":"F32","shape":[1e308],"data_offsets":[0,4]})"), four), "shape"},
      {FileOf("{}" + std::string(4 << 20, ' '), ""), "and a header at most 4194304"},
  };
  for (const Case& one : cases) {
    INFO(one.says);
    const auto read = ReadSafeTensors(one.bytes);
    CHECK(read.status().code() == absl::StatusCode::kInvalidArgument);
    CHECK(Contains(std::string(read.status().message()), one.says));
  }
}

}  // namespace mentor::TEST_FILE
