// Settings of registered parts (environments, signal networks, outer rules): each part declares a
// table of names with defaults, ranges and one line of help; specs set them by text. The table
// serves validation, --help and docs alike.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/violations.h"
#include "mentor/v1/spec.pb.h"

namespace mentor {

struct OptionInfo {
  // kOthers: not an option, but leave to set names that the table does not list.
  enum class Kind { kNumber, kInteger, kFlag, kChoice, kText, kOthers };
  std::string name;
  Kind kind = Kind::kNumber;
  std::string default_value;              // As text; must itself be legal.
  double min = -1e300;                    // Inclusive, for numbers and integers.
  double max = 1e300;                     // For texts: of bytes.
  std::vector<std::string> choices = {};  // For kChoice.
  std::string help = {};
  bool required = false;  // A text without a default: it must be set.
  // Texts: empty when the value is legal, else what is wrong with it and the remedy.
  std::function<std::string(const std::string& value)> complaint = {};
};

using OptionTable = std::vector<OptionInfo>;

// Entries of tables, in short. A choice's default is its first.
OptionInfo NumberOption(std::string name, std::string value, double min, double max,
                        std::string help);
OptionInfo IntegerOption(std::string name, std::string value, double min, double max,
                         std::string help);
OptionInfo FlagOption(std::string name, bool value, std::string help);
OptionInfo ChoiceOption(std::string name, std::vector<std::string> choices, std::string help);
// One line that can be shown, of at most bytes_max, which `complaint` (none: any) does not refuse.
OptionInfo TextOption(std::string name, std::string value, int bytes_max, std::string help,
                      std::function<std::string(const std::string&)> complaint = {});
// The same without a default.
OptionInfo RequiredTextOption(std::string name, int bytes_max, std::string help,
                              std::function<std::string(const std::string&)> complaint = {});
// The name of a bundle that the experiment brings (common/bundle.h): required.
OptionInfo BundleOption(std::string name, std::string help);
// As the last one of a table: it takes options that it does not list, for a program that knows
// them. Names of letters, digits and "._-", values as texts.
OptionInfo OtherOptions(std::string help);

// Values after defaults. Reading a name that the table does not declare is our bug (MENTOR_CHECK).
class OptionValues {
 public:
  // Appends a violation "FIELD_PATH.NAME: ..." for each unknown name, repeated name, wrong type or
  // value out of range, and each required one that is missing.
  static OptionValues Parse(const OptionTable& table,
                            const google::protobuf::RepeatedPtrField<v1::Option>& options,
                            std::string_view field_path, Violations* violations);

  double Number(std::string_view name) const;
  int64_t Integer(std::string_view name) const;
  bool Flag(std::string_view name) const;
  const std::string& Choice(std::string_view name) const;
  const std::string& Text(std::string_view name) const;  // Empty: a required one is missing.
  // Those that OtherOptions let in.
  const std::map<std::string, std::string>& others() const { return others_; }

 private:
  std::map<std::string, std::string, std::less<>> values_;
  std::map<std::string, std::string> others_;
};

}  // namespace mentor
