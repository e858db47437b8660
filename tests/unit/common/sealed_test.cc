#include "common/sealed.h"

#include <string>

#include "common/hash.h"
#include "tests/testing.h"

namespace mentor::TEST_FILE {

TEST_CASE("sealed: the first line has the SHA-256 of what follows", "[unit]") {
  CHECK(Sealed("a: 1\n") == "# sha256 " + Sha256Hex("a: 1\n") + "\na: 1\n");
  CHECK(*Unsealed(Sealed("a: 1\n"), "f") == "a: 1\n");
  CHECK(*Unsealed(Sealed(""), "f") == "");
  // Files of earlier versions have no such line.
  CHECK_FALSE(IsSealed("a: 1\n"));
  CHECK(*Unsealed("a: 1\n", "f") == "a: 1\n");
  CHECK(*Unsealed("", "f") == "");
}

TEST_CASE("sealed: cut or changed anywhere, it is damaged and named", "[unit]") {
  const std::string whole = Sealed("a: 1\nb: 2\n");
  const auto check = [](const std::string& damaged) {
    const auto found = Unsealed(damaged, "folder/file");
    CHECK(absl::IsDataLoss(found.status()));
    CHECK(found.status().message().find("folder/file is damaged") != absl::string_view::npos);
  };
  for (size_t at = 0; at < whole.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string changed = whole;
      changed[at] ^= static_cast<char>(1 << bit);
      check(changed);
    }
    if (at > 0) check(whole.substr(0, at));
  }
  check(whole + "c");
}

}  // namespace mentor::TEST_FILE
