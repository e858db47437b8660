#include "mentor/ctl/event_file.h"

#include "common/hash.h"
#include "tests/testing.h"

using namespace mentor;
using namespace mentor::ctl;

TEST_CASE("event file: frames as the format has them", "[unit]") {
  // Length 3, then the CRC-32C of its eight bytes, masked; by hand from the definition.
  const std::string frame = TfRecord("abc");
  REQUIRE(frame.size() == 8 + 4 + 3 + 4);
  CHECK(frame.substr(0, 8) == std::string("\x03\0\0\0\0\0\0\0", 8));
  CHECK(frame.substr(12, 3) == "abc");
  const uint32_t crc = Crc32c("abc");
  CHECK(crc == 0x364b3fb7);  // Published vector.
  const uint32_t masked = ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
  std::string bytes;
  for (int i = 0; i < 4; ++i) bytes += static_cast<char>(masked >> (8 * i));
  CHECK(frame.substr(15) == bytes);
  CHECK(ToHex(TfRecord("")) ==
        "0000000000000000"
        "29039807"
        "d8ea82a2");
}

TEST_CASE("event file: an event byte by byte", "[unit]") {
  const std::string event = ScalarEvent(1.0, 300, {{"t", 0.5}});
  // wall_time 1.0, step 300, summary { value { tag "t" simple_value 0.5 } }
  CHECK(ToHex(event.substr(12, event.size() - 16)) ==
        "09000000000000f03f"
        "10ac02"
        "2a0a"
        "0a08"
        "0a0174"
        "150000003f");
}
