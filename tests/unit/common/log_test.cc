#include "common/log.h"

#include <limits>

#include <nlohmann/json.hpp>

#include "common/status.h"
#include "tests/testing.h"

namespace mentor::log::TEST_FILE {

nlohmann::json Json(std::string_view message, std::initializer_list<Field> fields) {
  return nlohmann::json::parse(FormatLine(Format::kJson, "2026-01-02T03:04:05.000006Z",
                                          Severity::kWarning, "actor", "/a/b/c.cc", 7, message,
                                          fields));
}

TEST_CASE("log: a line is one JSON object, whatever is in it", "[unit]") {
  std::string every;
  for (int i = 0; i < 256; ++i) every += static_cast<char>(i);
  const auto line =
      Json("a \"quoted\"\nmessage", {{"text", every},
                                     {"count", 7},
                                     {"big", std::numeric_limits<uint64_t>::max()},
                                     {"rate", 0.25},
                                     {"nan", std::numeric_limits<double>::quiet_NaN()},
                                     {"on", true},
                                     {"why", absl::NotFoundError("gone")}});
  CHECK(line["ts"] == "2026-01-02T03:04:05.000006Z");
  CHECK(line["severity"] == "warning");
  CHECK(line["msg"] == "a \"quoted\"\nmessage");
  CHECK(line["logger"] == "actor");
  CHECK(line["file"] == "c.cc:7");
  CHECK(line["count"] == 7);
  CHECK(line["big"] == std::numeric_limits<uint64_t>::max());
  CHECK(line["rate"] == 0.25);
  CHECK(line["nan"] == "nan");
  CHECK(line["on"] == true);
  CHECK(line["why"] == "NOT_FOUND: gone");
  CHECK(FormatLine(Format::kJson, "", Severity::kInfo, "", "c.cc", 1, every, {}).find('\n') ==
        std::string::npos);
}

TEST_CASE("log: text of any language stays as it is, other bytes are replaced", "[unit]") {
  // é, an emoji beyond 16 bits, and U+0080, which terminals could take for a command.
  for (const std::string text : {"caf\xc3\xa9", "\xf0\x9f\x9a\x80 up", "\xc2\x80", "tab\there\x7f",
                                 "\x01\x1b[31m", "a/b \\ \"c\""}) {
    const auto line = Json(text, {{"text", text}});
    CHECK(line["msg"] == text);
    CHECK(line["text"] == text);
  }
  // Invalid UTF-8: a lone byte, an overlong form, half of a character, a surrogate.
  for (const auto& [bytes, shown] : std::vector<std::pair<std::string, std::string>>{
           {"a\xff"
            "b",
            "a\xef\xbf\xbd"
            "b"},
           {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},
           {"cut \xc3", "cut \xef\xbf\xbd"},
           {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}}) {
    const auto line = Json(bytes, {{"text", bytes}});
    CHECK(line["msg"] == shown);
    CHECK(line["text"] == shown);
  }
  // "é" is two bytes in a line, not an escape for each.
  CHECK(FormatLine(Format::kJson, "", Severity::kInfo, "", "c.cc", 1, "caf\xc3\xa9", {})
            .find("\"msg\":\"caf\xc3\xa9\"") != std::string::npos);
}

TEST_CASE("log: an error shows its reason, not its payload", "[unit]") {
  const auto line = Json("x", {{"why", MakeError(Reason::kPeerSilent, "silent")}});
  CHECK(line["why"] == "UNAVAILABLE: silent [PEER_SILENT]");
}

TEST_CASE("log: text for people", "[unit]") {
  CHECK(FormatLine(Format::kText, "T", Severity::kInfo, "actor", "c.cc", 1, "hello",
                   {{"n", 1}, {"s", "two words"}}) == "T info    hello n=1 s=\"two words\"");
}

TEST_CASE("log: a limited place logs once a period", "[unit]") {
  const auto before = Counts();
  for (int i = 0; i < 1000; ++i)
    MENTOR_LOG_EVERY(std::chrono::hours(1), kInfo, "a test of the rate limit");
  CHECK(Counts()[1] == before[1] + 1);
  for (int i = 0; i < 3; ++i)
    MENTOR_LOG_EVERY(std::chrono::hours(0), kInfo, "a test without a limit");
  CHECK(Counts()[1] == before[1] + 4);
}

}  // namespace mentor::log::TEST_FILE
