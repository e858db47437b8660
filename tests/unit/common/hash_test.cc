#include "common/hash.h"

#include <set>

#include "common/uuid.h"
#include "tests/testing.h"

namespace mentor::TEST_FILE {

TEST_CASE("sha256: the vectors of FIPS 180-4, in one piece and in many", "[unit]") {
  CHECK(Sha256Hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(Sha256Hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  Sha256 million;
  for (int i = 0; i < 1000; ++i) million.Update(std::string(1000, 'a'));
  CHECK(ToHex(million.Finish()) ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("hexadecimal digits: lower case, both ways", "[unit]") {
  CHECK(ToHex(std::string("\x00\x9f\xff", 3)) == "009fff");
  CHECK(ToHex("").empty());
  CHECK(IsHex("0123456789abcdef"));
  CHECK(IsHex(""));
  for (const char* other : {"A", "0g", " 0", "0x1", "f\n"}) CHECK_FALSE(IsHex(other));
}

TEST_CASE("crc32c: the vectors of RFC 3720, at every split", "[unit]") {
  CHECK(Crc32c("") == 0);
  CHECK(Crc32c("123456789") == 0xe3069283u);
  CHECK(Crc32c(std::string(32, '\0')) == 0x8a9136aau);
  CHECK(Crc32c(std::string(32, '\xff')) == 0x62a8ab43u);
  std::string rising;
  for (int i = 0; i < 32; ++i) rising += static_cast<char>(i);
  CHECK(Crc32c(rising) == 0x46dd794eu);
  for (size_t split = 0; split <= rising.size(); ++split) {
    CHECK(Crc32c(std::string_view(rising).substr(split), Crc32c(rising.substr(0, split))) ==
          0x46dd794eu);
  }
}

TEST_CASE("uuid: version 4, different each time, recognised", "[unit]") {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const std::string uuid = NewUuid();
    CHECK(IsUuid(uuid));
    CHECK(uuid[14] == '4');
    CHECK(std::string("89ab").find(uuid[19]) != std::string::npos);
    CHECK(seen.insert(uuid).second);
  }
  CHECK_FALSE(IsUuid(""));
  CHECK_FALSE(IsUuid("00000000-0000-4000-8000-00000000000"));
  CHECK_FALSE(IsUuid("00000000-0000-4000-8000-00000000000g"));
  CHECK_FALSE(IsUuid("000000000-000-4000-8000-000000000000"));
}

TEST_CASE("uuid: base32 goes through the bits from the left", "[unit]") {
  // 0x00 0x44 0x32 0x14 0xc7 = 00000 00001 00010 00011 00100 00101 00110 00111.
  CHECK(UuidBase32("00443214-c700-0000-0000-000000000000", 10) == "abcdefghaa");
  CHECK(UuidBase32("ffffffff-ffff-ffff-ffff-ffffffffffff", 25) == std::string(25, '7'));
}

}  // namespace mentor::TEST_FILE
