#include "common/printable.h"

#include "tests/testing.h"

namespace mentor::TEST_FILE {

TEST_CASE("printable: what a terminal would obey is shown as a question mark (D14)", "[unit]") {
  CHECK(Printable("a\x1b[1m\x7f\nb\tc") == "a?[1m? b c");
  // C1, as its own code point and as a lone byte.
  CHECK(Printable("a\xc2\x9b"
                  "31mb\x9b"
                  "c") == "a?31mb?c");
  // Right-to-left override, isolates and marks.
  CHECK(Printable("exp\u202egpj.sh") == "exp?gpj.sh");
  CHECK(Printable("\u2066a\u2069\u200e\u200f\u061c") == "?a????");
  CHECK(Printable("a\u200bb\ufeffc\u2028d") == "a?b?c?d");
  CHECK(Printable("tag\U000e0041") == "tag?");
  // Text in other languages stays.
  CHECK(Printable("Grüße, 学习 \u05e9\u05dc\u05d5\u05dd 🧪") ==
        "Grüße, 学习 \u05e9\u05dc\u05d5\u05dd 🧪");
  CHECK(Printable("\xc0\xaf\xed\xa0\x80\xf5") == "??????");
  CHECK(PrintableLines("one\n\ttwo\u202e\n") == "one\n\ttwo?\n");
}

TEST_CASE("printable: JSON says the same in escapes (D14)", "[unit]") {
  CHECK(PrintableJson("{\"a\": \"x\u202ey\"}\n") == "{\"a\": \"x\\u202ey\"}\n");
  CHECK(PrintableJson("\"\u2066\x7f\xc2\x85é\"") == "\"\\u2066\\u007f\\u0085é\"");
  CHECK(PrintableJson("\"\U000e0041\"") == "\"\\udb40\\udc41\"");
}

}  // namespace mentor::TEST_FILE
