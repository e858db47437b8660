// The limits of the settings that users may write beside a spec.
#include <functional>
#include <set>
#include <string>

#include <absl/time/clock.h>
#include <absl/time/time.h>

#include "meta_learner/control/request_checks.h"
#include "tests/testing.h"

namespace mentor::meta_learner::TEST_FILE {

using Fields = std::set<std::string>;

Fields FieldsOf(const v1::Experiment& experiment, const std::string& prefix = "") {
  Violations violations;
  CheckSettings(experiment, prefix, &violations);
  Fields fields;
  for (const Violation& violation : violations.list()) fields.insert(violation.field);
  return fields;
}

// Returns the errors of an experiment after this setting.
Fields Wrong(const std::function<void(v1::Experiment*)>& set) {
  v1::Experiment experiment;
  set(&experiment);
  return FieldsOf(experiment);
}

TEST_CASE("settings: nothing set is nothing wrong, and fields are named behind a prefix",
          "[unit]") {
  v1::Experiment experiment;
  CHECK(FieldsOf(experiment).empty());
  experiment.set_weight(101);
  CHECK(FieldsOf(experiment, "experiment.") == Fields{"experiment.weight"});
}

TEST_CASE("settings: numbers and texts at their borders", "[unit]") {
  const auto weight = [](uint32_t x) { return Wrong([x](auto* e) { e->set_weight(x); }); };
  CHECK(weight(0).empty());
  CHECK(weight(100).empty());
  CHECK(weight(101) == Fields{"weight"});
  const auto retries = [](uint32_t x) { return Wrong([x](auto* e) { e->set_retries_max(x); }); };
  CHECK(retries(100).empty());
  CHECK(retries(101) == Fields{"retries_max"});
  const auto title = [](size_t x) {
    return Wrong([x](auto* e) { e->set_display_name(std::string(x, 'x')); });
  };
  CHECK(title(255).empty());
  CHECK(title(256) == Fields{"display_name"});
  const auto priority = [](int x) {
    return Wrong([x](auto* e) { e->set_priority(static_cast<v1::Priority>(x)); });
  };
  for (const int legal : {v1::PRIORITY_UNSPECIFIED, v1::PRIORITY_LOW, v1::PRIORITY_HIGH})
    CHECK(priority(legal).empty());
  CHECK(priority(v1::PRIORITY_HIGH + 1) == Fields{"priority"});
}

TEST_CASE("settings: labels have keys of lower case, and an end", "[unit]") {
  const auto label = [](const std::string& key, const std::string& value) {
    return Wrong([&](auto* e) { (*e->mutable_labels())[key] = value; });
  };
  for (const std::string& key :
       std::vector<std::string>{"a", "a-b_c.d/9", "z", std::string(63, 'a')}) {
    INFO(key);
    CHECK(label(key, "").empty());
    CHECK(label(key, std::string(255, 'V')).empty());
    CHECK(label(key, std::string(256, 'v')).size() == 1);
  }
  for (const std::string& key : std::vector<std::string>{"", "9a", "-a", "A", "aB", "a b", "a:b",
                                                         "\xc3\xa4", std::string(64, 'a')}) {
    INFO(key);
    CHECK(label(key, "").size() == 1);
  }
  const auto labels = [](int count) {
    return Wrong([count](auto* e) {
      for (int i = 0; i < count; ++i) (*e->mutable_labels())["k" + std::to_string(i)] = "v";
    });
  };
  CHECK(labels(64).empty());
  CHECK(labels(65) == Fields{"labels"});
}

TEST_CASE("settings: a deadline is a time that the store can keep, a span has ten years",
          "[unit]") {
  const auto deadline = [](int64_t seconds, int32_t nanos) {
    return Wrong([=](auto* e) {
      e->mutable_deadline()->set_seconds(seconds);
      e->mutable_deadline()->set_nanos(nanos);
    });
  };
  const int64_t now = absl::ToUnixSeconds(absl::Now());
  CHECK(deadline(now + 3600, 0).empty());
  CHECK(deadline(now + 3600, 999'999'999).empty());
  CHECK(deadline(now - 3600, 0) == Fields{"deadline"});
  CHECK(deadline(9'223'372'035, 999'999'999).empty());
  for (const auto& [seconds, nanos] :
       std::vector<std::pair<int64_t, int32_t>>{{0, 0},
                                                {0, 5},
                                                {-1, 0},
                                                {4'000'000'000, -1},
                                                {4'000'000'000, 1'000'000'000},
                                                {9'223'372'036, 0}}) {
    INFO(seconds << " " << nanos);
    CHECK(deadline(seconds, nanos) == Fields{"deadline"});
  }
  const auto ttl = [](int64_t seconds, int32_t nanos) {
    return Wrong([=](auto* e) {
      e->mutable_retention()->mutable_ttl()->set_seconds(seconds);
      e->mutable_retention()->mutable_ttl()->set_nanos(nanos);
    });
  };
  constexpr int64_t kTenYears = int64_t{3650} * 24 * 3600;
  CHECK(ttl(0, 0).empty());
  CHECK(ttl(kTenYears, 0).empty());
  for (const auto& [seconds, nanos] : std::vector<std::pair<int64_t, int32_t>>{
           {-1, 0}, {0, -1}, {0, 1'000'000'000}, {kTenYears + 1, 0}}) {
    INFO(seconds << " " << nanos);
    CHECK(ttl(seconds, nanos) == Fields{"retention.ttl"});
  }
}

}  // namespace mentor::meta_learner::TEST_FILE
