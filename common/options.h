// Settings of registered parts (environments, signal networks, outer rules). Each part binds the
// members of a struct to names with defaults, ranges and one line of help (Bind); specs set the
// values as text. Validation, --help and docs use the table that follows from it.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "common/check.h"
#include "common/violations.h"
#include "mentor/v1/spec.pb.h"

namespace mentor {

struct OptionInfo {
  // kOthers: not an option, but permission to set names that the table does not list.
  enum class Kind { kNumber, kInteger, kFlag, kChoice, kText, kOthers };
  std::string name;
  Kind kind = Kind::kNumber;
  std::string default_value;              // As text; must be legal.
  double min = -1e300;                    // Inclusive, for numbers and integers.
  double max = 1e300;                     // For texts: maximum size in bytes.
  std::vector<std::string> choices = {};  // For kChoice.
  std::string help = {};
  bool required = false;  // For texts without a default, which must be set.
  // For texts: returns what is wrong with the value and the remedy; empty if it is legal.
  std::function<std::string(const std::string& value)> complaint = {};
};

using OptionTable = std::vector<OptionInfo>;

// Entries that Bind takes beside its own.
// One printable line of at most bytes_max bytes. `complaint` may refuse it; null accepts any.
OptionInfo TextOption(std::string name, std::string value, int bytes_max, std::string help,
                      std::function<std::string(const std::string&)> complaint = {});
// The same without a default.
OptionInfo RequiredTextOption(std::string name, int bytes_max, std::string help,
                              std::function<std::string(const std::string&)> complaint = {});
// The name of a bundle that the experiment brings along (common/bundle.h): required.
OptionInfo BundleOption(std::string name, std::string help);
// The same where an experiment may bring none: the default is empty.
OptionInfo OptionalBundleOption(std::string name, std::string help);
// The last entry of a table. Accepts options that the table does not list, for a program
// that knows them. Names consist of letters, digits and "._-"; values are texts.
OptionInfo OtherOptions(std::string help);

// Values as text, with defaults filled in.
class OptionValues {
 public:
  // Appends a violation "FIELD_PATH.NAME: ..." for each unknown name, repeated name, wrong type,
  // value out of range, and missing required option.
  static OptionValues Parse(const OptionTable& table,
                            const google::protobuf::RepeatedPtrField<v1::Option>& options,
                            std::string_view field_path, Violations* violations);

  // For code that treats the options of all parts alike; a part reads its own by Bind. Empty if a
  // required text is missing. A name that the table does not declare is a bug (MENTOR_CHECK).
  const std::string& text(std::string_view name) const;
  // Options accepted by OtherOptions.
  const std::map<std::string, std::string>& others() const { return others_; }

 private:
  std::map<std::string, std::string, std::less<>> values_;
  std::map<std::string, std::string> others_;
};

// The number that a legal value of a number or an integer says.
double OptionNumber(const std::string& text);
int64_t OptionInteger(const std::string& text);

template <typename Config>
class BoundOptions;

// One entry of Bind. `place` says where in Config the value goes: a pointer to a member, In(..),
// kItself, or a function from Config& to a reference.
template <typename Config>
class BoundOption {
  template <typename Place>
  using TypeAt = std::remove_reference_t<std::invoke_result_t<Place, Config&>>;

 public:
  // A number, or an integer where the place holds an integer. The default is a text.
  template <typename Place>
  BoundOption(Place place, std::string name, std::string value, double min, double max,
              std::string help)
      : BoundOption(
            place, OptionInfo{.name = std::move(name),
                              .kind = std::is_integral_v<TypeAt<Place>> ? OptionInfo::Kind::kInteger
                                                                        : OptionInfo::Kind::kNumber,
                              .default_value = std::move(value),
                              .min = min,
                              .max = max,
                              .help = std::move(help)}) {}

  template <typename Place>
  BoundOption(Place place, std::string name, bool value, std::string help)
      : BoundOption(place, OptionInfo{.name = std::move(name),
                                      .kind = OptionInfo::Kind::kFlag,
                                      .default_value = value ? "true" : "false",
                                      .help = std::move(help)}) {}

  // Choices and what the place holds for each of them. The first is the default.
  template <typename Place>
  BoundOption(Place place, std::string name,
              std::vector<std::pair<std::string, TypeAt<Place>>> choices, std::string help)
      : table_({{.name = name,
                 .kind = OptionInfo::Kind::kChoice,
                 .default_value = choices.front().first,
                 .help = std::move(help)}}) {
    for (const auto& choice : choices) table_[0].choices.push_back(choice.first);
    read_ = [place, name = std::move(name), choices = std::move(choices)](
                const OptionValues& values, Config* config) {
      for (const auto& [choice, value] : choices) {
        if (choice == values.text(name)) std::invoke(place, *config) = value;
      }
    };
  }

  // Any option but a choice: a text, say.
  template <typename Place>
  BoundOption(Place place, OptionInfo info)
      : table_({info}),
        read_([place, name = std::move(info.name)](const OptionValues& values, Config* config) {
          Set(values.text(name), &std::invoke(place, *config));
        }) {}

  // The options of a struct within Config.
  template <typename Place>
  BoundOption(Place place, BoundOptions<TypeAt<Place>> part)
      : table_(part.table()),
        read_([place, part = std::move(part)](const OptionValues& values, Config* config) {
          auto& at = std::invoke(place, *config);
          at = part.Read(values, std::move(at));
        }) {}

  // An option that no member holds: OtherOptions.
  explicit BoundOption(OptionInfo info) : table_({std::move(info)}) {}

 private:
  friend BoundOptions<Config>;

  static void Set(const std::string& text, std::string* value) { *value = text; }
  static void Set(const std::string& text, bool* value) { *value = text == "true"; }
  static void Set(const std::string& text, double* value) { *value = OptionNumber(text); }
  static void Set(const std::string& text, float* value) {
    *value = static_cast<float>(OptionNumber(text));
  }
  static void Set(const std::string& text, std::optional<double>* value) {
    *value = OptionNumber(text);
  }
  template <std::integral T>
  static void Set(const std::string& text, T* value) {
    const int64_t number = OptionInteger(text);
    MENTOR_CHECK(std::in_range<T>(number));  // The option's range must fit its type.
    *value = static_cast<T>(number);
  }

  OptionTable table_;
  std::function<void(const OptionValues&, Config*)> read_;
};

// The options of a part, and how they fill its Config.
template <typename Config>
class BoundOptions {
 public:
  BoundOptions(std::vector<BoundOption<Config>> options) : options_(std::move(options)) {
    for (const auto& option : options_)
      table_.insert(table_.end(), option.table_.begin(), option.table_.end());
  }

  const OptionTable& table() const { return table_; }
  // `values` may come from a longer table. Members without an option stay as they are in `config`.
  Config Read(const OptionValues& values, Config config = {}) const {
    for (const auto& option : options_) {
      if (option.read_) option.read_(values, &config);
    }
    return config;
  }

 private:
  std::vector<BoundOption<Config>> options_;
  OptionTable table_;
};

// Names each option of a part once:
//   const auto kOptions = Bind<Config>({
//       {&Config::rate, "rate", "3e-4", 0, 1, "Learning rate."},
//       {&Config::steps, "steps", "10", 1, 1000, "An integer, since the member is one."},
//       {&Config::talks, "log", false, "A flag."},
//       {&Config::view, "view", {{"all", View::kAll}, {"none", View::kNone}}, "A choice."},
//       {&Config::label, TextOption("label", "none", 80, "A text.")},
//       {&Config::adam, AdamOptions()}});  // The options of a struct within.
template <typename Config>
BoundOptions<Config> Bind(std::vector<BoundOption<Config>> options) {
  return BoundOptions<Config>(std::move(options));
}

// The place of the only option of a part, whose Config is a plain value: Bind<int>({{kItself,
// ...}}).
inline constexpr std::identity kItself;
// The place of a member of a member: In(&Config::adam, &AdamConfig::epsilon).
template <typename Outer, typename Inner>
auto In(Outer outer, Inner inner) {
  return [=](auto& config) -> decltype(auto) {
    return std::invoke(inner, std::invoke(outer, config));
  };
}

}  // namespace mentor
