#include "common/options.h"

#include "tests/specs.h"
#include "tests/testing.h"

namespace mentor {
namespace {

const OptionTable kTable = {
    {.name = "rate", .default_value = "3e-4", .min = 0, .max = 1, .help = "Learning rate."},
    {.name = "size",
     .kind = OptionInfo::Kind::kInteger,
     .default_value = "5",
     .min = 1,
     .help = "Size."},
    {.name = "log", .kind = OptionInfo::Kind::kFlag, .default_value = "false", .help = "Talk."},
    {.name = "view",
     .kind = OptionInfo::Kind::kChoice,
     .default_value = "all",
     .choices = {"all", "none"},
     .help = "View."},
};

OptionValues Parse(const testing::Settings& settings, Violations* violations) {
  return OptionValues::Parse(kTable, testing::Options(settings), "rule.option", violations);
}

// Returns the only violation of setting `name` to `value`; empty if there is none.
std::string Complaint(const std::string& name, const std::string& value) {
  Violations violations;
  Parse({{name, value}}, &violations);
  if (violations.empty()) return "";
  REQUIRE(violations.list().size() == 1);
  CHECK(violations.list()[0].field == "rule.option." + name);
  return violations.list()[0].description;
}

TEST_CASE("options: defaults and set values", "[unit]") {
  Violations violations;
  const OptionValues defaults = Parse({}, &violations);
  CHECK(defaults.Number("rate") == 3e-4);
  CHECK(defaults.Integer("size") == 5);
  CHECK_FALSE(defaults.Flag("log"));
  CHECK(defaults.Choice("view") == "all");
  const OptionValues values =
      Parse({{"rate", "0.25"}, {"size", "7"}, {"log", "true"}, {"view", "none"}}, &violations);
  CHECK(values.Number("rate") == 0.25);
  CHECK(values.Integer("size") == 7);
  CHECK(values.Flag("log"));
  CHECK(values.Choice("view") == "none");
  CHECK(violations.empty());
}

TEST_CASE("options: what is wrong is named with value, bound and remedy", "[unit]") {
  CHECK(Complaint("rate", "2") == "is '2'; give a number from 0 to 1; the default is 3e-4");
  CHECK(Complaint("size", "0") == "is '0'; give an integer of at least 1; the default is 5");
  CHECK(Complaint("log", "yes") == "is 'yes'; give true or false; the default is false");
  CHECK(Complaint("view", "some") == "is 'some'; give one of all, none; the default is all");
  CHECK(Complaint("speed", "1") ==
        "unknown option; known: rate, size, log, view; correct its name, or remove it");
  CHECK(Complaint("raet", "1") ==
        "unknown option; did you mean 'rate'? Correct its name, or remove it");
  CHECK(Complaint("outer_update", "1") ==
        "unknown option; did you mean the field 'rule.outer_updates'? Correct its name, or remove "
        "it");
  for (const char* bad : {"", " 1", "1 ", "0x1", "nan", "inf", "1,5", "0.5abc", "1e999"}) {
    CHECK_FALSE(Complaint("rate", bad).empty());
  }
  for (const char* bad : {"", "5.0", "+5", "99999999999999999999", "five"})
    CHECK_FALSE(Complaint("size", bad).empty());
  for (const char* good : {"0", "1", "1e-9", "0.5"}) CHECK(Complaint("rate", good).empty());
}

TEST_CASE("options: all violations are reported at once, repeats among them", "[unit]") {
  Violations violations;
  Parse({{"rate", "-1"}, {"size", "x"}, {"other", "1"}, {"log", "true"}, {"log", "false"}},
        &violations);
  REQUIRE(violations.list().size() == 4);
  CHECK(violations.list()[3].description == "is set twice, the second time to 'false'; remove one");
  CHECK(violations.ToStatus().code() == absl::StatusCode::kInvalidArgument);
}

const OptionTable kTexts = {
    TextOption("label", "none", 8, "Label.",
               [](const std::string& value) {
                 return value.find('!') == value.npos ? "" : "has a '!'; leave it out";
               }),
    BundleOption("bundle", "name of a bundle"),
};

std::vector<std::string> Wrong(const OptionTable& table, const testing::Settings& settings) {
  Violations violations;
  OptionValues::Parse(table, testing::Options(settings), "task.options", &violations);
  std::vector<std::string> lines;
  for (const Violation& violation : violations.list())
    lines.push_back(violation.field + ": " + violation.description);
  return lines;
}

TEST_CASE("options: texts have a bound and a check and may be required", "[unit]") {
  const std::string bundle = "sha256:" + std::string(64, 'a');
  Violations violations;
  const OptionValues values = OptionValues::Parse(
      kTexts, testing::Options({{"bundle", bundle}, {"label", "12345678"}}), "o", &violations);
  CHECK(violations.empty());
  CHECK(values.Text("bundle") == bundle);
  CHECK(values.Text("label") == "12345678");
  CHECK(values.others().empty());
  using Lines = std::vector<std::string>;
  CHECK(Wrong(kTexts, {}) == Lines{"task.options.bundle: is missing; set it: name of a bundle"});
  CHECK(Wrong(kTexts, {{"bundle", bundle}, {"label", "123456789"}}) ==
        Lines{"task.options.label: has 9 bytes; give at most 8"});
  CHECK(Wrong(kTexts, {{"bundle", bundle}, {"label", "a\nb"}}) ==
        Lines{"task.options.label: has characters that cannot be shown; give one line of plain "
              "text"});
  CHECK(Wrong(kTexts, {{"bundle", bundle}, {"label", "a!"}}) ==
        Lines{"task.options.label: has a '!'; leave it out"});
  const Lines named = Wrong(kTexts, {{"bundle", "sha256:../../x"}});
  REQUIRE(named.size() == 1);
  CHECK_THAT(named[0], Catch::StartsWith("task.options.bundle: 'sha256:../../x' is not the name"));
}

TEST_CASE("options: a table may leave names to a program that knows them", "[unit]") {
  OptionTable table = kTable;
  table.push_back(OtherOptions("what the host takes"));
  Violations violations;
  const OptionValues values = OptionValues::Parse(
      table, testing::Options({{"id", "FetchReach-v4"}, {"size", "7"}, {"max_x.y-z", ""}}), "o",
      &violations);
  CHECK(violations.empty());
  CHECK(values.Integer("size") == 7);
  CHECK(values.others() ==
        std::map<std::string, std::string>{{"id", "FetchReach-v4"}, {"max_x.y-z", ""}});
  // Names and values stay plain.
  CHECK(Wrong(table, {{"*", "1"}}).size() == 1);
  CHECK(Wrong(table, {{"a b", "1"}}) ==
        std::vector<std::string>{"task.options.a b: is no name of an option; give at most 64 "
                                 "letters, digits, '.', '_' and '-'"});
  CHECK(Wrong(table, {{"a", "1"}, {"a", "2"}}).size() == 1);
  CHECK(Wrong(table, {{"a", std::string(1001, 'x')}}).size() == 1);
  CHECK(Wrong(table, {{"a", "x\x1b[0m"}}).size() == 1);
  CHECK(Wrong(table, {{"size", "0"}}).size() == 1);
  testing::Settings many;
  for (int i = 0; i < 65; ++i) many.push_back({"o" + std::to_string(i), "1"});
  CHECK(Wrong(table, many) ==
        std::vector<std::string>{"task.options.o64: is one of more than 64; remove some"});
  // Without the entry they are unknown.
  CHECK_FALSE(Complaint("id", "1").empty());
}

}  // namespace
}  // namespace mentor
