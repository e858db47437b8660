#include "common/options.h"

#include <optional>

#include "tests/specs.h"
#include "tests/testing.h"

namespace mentor::TEST_FILE {

enum class View { kAll, kNone };

struct Step {
  int count = 0;
  std::optional<double> most = {};
};

struct Config {
  double rate = 0;
  int64_t size = 0;
  bool log = true;
  View view = View::kNone;
  Step step = {};
  std::vector<float> shares = {0, 0};
  std::string label = {};
  int untouched = 0;
};

const auto kOptions = Bind<Config>({
    {&Config::rate, "rate", "3e-4", 0, 1, "Learning rate."},
    {&Config::size, "size", "5", 1, 1e300, "Size."},
    {&Config::log, "log", false, "Talk."},
    {&Config::view, "view", {{"all", View::kAll}, {"none", View::kNone}}, "View."},
});
const OptionTable& kTable = kOptions.table();

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
  const Config defaults = kOptions.Read(Parse({}, &violations), {.untouched = 3});
  CHECK(defaults.rate == 3e-4);
  CHECK(defaults.size == 5);
  CHECK_FALSE(defaults.log);
  CHECK(defaults.view == View::kAll);
  CHECK(defaults.untouched == 3);
  const OptionValues values =
      Parse({{"rate", "0.25"}, {"size", "7"}, {"log", "true"}, {"view", "none"}}, &violations);
  const Config config = kOptions.Read(values);
  CHECK(config.rate == 0.25);
  CHECK(config.size == 7);
  CHECK(config.log);
  CHECK(config.view == View::kNone);
  CHECK(values.text("view") == "none");
  CHECK(violations.empty());
}

TEST_CASE("options: a binding says kind, default and help of each option, in order", "[unit]") {
  REQUIRE(kTable.size() == 4);
  using Kind = OptionInfo::Kind;
  const Kind kinds[] = {Kind::kNumber, Kind::kInteger, Kind::kFlag, Kind::kChoice};
  const char* const texts[] = {"3e-4", "5", "false", "all"};
  for (size_t i = 0; i < 4; ++i) {
    CHECK(kTable[i].kind == kinds[i]);
    CHECK(kTable[i].default_value == texts[i]);
  }
  CHECK(kTable[1].min == 1);
  CHECK(kTable[3].choices == std::vector<std::string>{"all", "none"});
  CHECK(kTable[3].help == "View.");
}

TEST_CASE("options: a value goes to a member of a member, a part or any place", "[unit]") {
  const auto steps = [](const std::string& most) {
    return Bind<Step>({{&Step::most, "most", most, 0, 9, "Most."}});
  };
  const auto bound = Bind<Config>(
      {{In(&Config::step, &Step::count), "count", "1", 0, 9, "Count."},
       {&Config::step, steps("2.5")},
       {[](Config& config) -> float& { return config.shares[1]; }, "share", "0.5", 0, 1, "Share."},
       {&Config::label, TextOption("label", "none", 8, "Label.")},
       BoundOption<Config>(OtherOptions("what the host takes"))});
  CHECK(bound.table().size() == 5);
  Violations violations;
  const Config config = bound.Read(OptionValues::Parse(
      bound.table(), testing::Options({{"count", "4"}, {"label", "a b"}}), "o", &violations));
  CHECK(violations.empty());
  CHECK(config.step.count == 4);
  CHECK(config.step.most == 2.5);
  CHECK(config.shares == std::vector<float>{0, 0.5});
  CHECK(config.label == "a b");
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
  CHECK(values.text("bundle") == bundle);
  CHECK(values.text("label") == "12345678");
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
  CHECK(values.text("size") == "7");
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

}  // namespace mentor::TEST_FILE
