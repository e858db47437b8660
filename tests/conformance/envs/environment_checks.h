// Registered environments with their options, in wrappers, for the checks of envs/promises.h:
// catalogue_test.cc calls them for the whole catalogue, wrapper_test.cc for environments in
// wrappers.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "envs/environment.h"
#include "envs/promises.h"
#include "envs/wrapper.h"
#include "tests/testing.h"

namespace mentor::envs::testing {

using OptionList = google::protobuf::RepeatedPtrField<v1::Option>;

using WrapperList = google::protobuf::RepeatedPtrField<v1::WrapperSpec>;

// An environment with its options, in wrappers.
struct Variant {
  const EnvironmentEntry* entry = nullptr;
  OptionList options;
  WrapperList wrappers = {};

  Subject AsSubject() const { return SubjectOf(*entry, options, wrappers); }
  std::string Name() const { return AsSubject().name; }
  // Environments whose states it writes: names without options.
  std::string Family() const {
    std::string family = entry->name;
    for (const v1::WrapperSpec& wrapper : wrappers) family += " + " + wrapper.name();
    return family;
  }
  std::unique_ptr<Environment> Make() const {
    absl::StatusOr<std::unique_ptr<Environment>> made = AsSubject().make();
    INFO(made.status().ToString());
    REQUIRE(made.ok());
    return *std::move(made);
  }
  v1::EnvironmentTask Task(uint32_t index) const { return AsSubject().task(index); }
};

// Up to ten environments of each suite, with default options.
inline std::vector<Variant> SomeVariants() {
  std::map<std::string, int> counts;
  std::vector<Variant> variants;
  for (const EnvironmentEntry* entry : CompleteEnvironments()) {
    if (++counts[entry->suite] <= 10) variants.push_back({entry, {}});
  }
  return variants;
}

// Every environment with default options; besides, each choice and flag in turn, and each integer
// at its least value.
inline std::vector<Variant> AllVariants() {
  std::vector<Variant> variants;
  for (const EnvironmentEntry* entry : CompleteEnvironments()) {
    variants.push_back({entry, {}});
    for (const OptionInfo& option : entry->options) {
      std::vector<std::string> values = option.choices;
      if (option.kind == OptionInfo::Kind::kFlag) values = {"true", "false"};
      if (option.kind == OptionInfo::Kind::kInteger && option.min > -1e9) {
        values = {std::to_string(static_cast<int64_t>(option.min))};
      }
      for (const std::string& value : values) {
        if (value == option.default_value) continue;
        Variant variant{entry, {}};
        v1::Option* set = variant.options.Add();
        set->set_name(option.name);
        set->set_value(value);
        variants.push_back(std::move(variant));
      }
    }
  }
  return variants;
}

// The check of one variant.
inline void Kept(const Variant& variant, const Complaints& complaints) {
  INFO(variant.Name());
  for (const std::string& complaint : complaints) {
    INFO(complaint);
    CHECK(complaint.empty());
  }
}

// Number v of `variants` refuses the states of others: of the next ones, which may be of the same
// family, and of one far away.
inline void CheckBadStates(const std::vector<Variant>& variants, size_t v) {
  std::vector<Subject> foreign;
  for (size_t away : {size_t{1}, size_t{2}, variants.size() / 2}) {
    const Variant& other = variants[(v + away) % variants.size()];
    if (other.Family() != variants[v].Family()) foreign.push_back(other.AsSubject());
  }
  Kept(variants[v], CheckBadStates(variants[v].AsSubject(), foreign));
}

}  // namespace mentor::envs::testing
