// Settings of registered parts (environments, signal networks, outer rules). Each part declares a
// table of names with defaults, ranges and one line of help; specs set the values as text.
// Validation, --help and docs all use the table.
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

// Short forms for entries of tables. The first choice is the default.
OptionInfo NumberOption(std::string name, std::string value, double min, double max,
                        std::string help);
OptionInfo IntegerOption(std::string name, std::string value, double min, double max,
                         std::string help);
OptionInfo FlagOption(std::string name, bool value, std::string help);
OptionInfo ChoiceOption(std::string name, std::vector<std::string> choices, std::string help);
// One printable line of at most bytes_max bytes. `complaint` may refuse it; null accepts any.
OptionInfo TextOption(std::string name, std::string value, int bytes_max, std::string help,
                      std::function<std::string(const std::string&)> complaint = {});
// The same without a default.
OptionInfo RequiredTextOption(std::string name, int bytes_max, std::string help,
                              std::function<std::string(const std::string&)> complaint = {});
// The name of a bundle that the experiment brings along (common/bundle.h): required.
OptionInfo BundleOption(std::string name, std::string help);
// The last entry of a table. Accepts options that the table does not list, for a program
// that knows them. Names consist of letters, digits and "._-"; values are texts.
OptionInfo OtherOptions(std::string help);

// Values, with defaults filled in. Reading a name that the table does not declare is a bug
// (MENTOR_CHECK).
class OptionValues {
 public:
  // Appends a violation "FIELD_PATH.NAME: ..." for each unknown name, repeated name, wrong type,
  // value out of range, and missing required option.
  static OptionValues Parse(const OptionTable& table,
                            const google::protobuf::RepeatedPtrField<v1::Option>& options,
                            std::string_view field_path, Violations* violations);

  double Number(std::string_view name) const;
  int64_t Integer(std::string_view name) const;
  bool Flag(std::string_view name) const;
  const std::string& Choice(std::string_view name) const;
  const std::string& Text(std::string_view name) const;  // Empty if a required text is missing.
  // Options accepted by OtherOptions.
  const std::map<std::string, std::string>& others() const { return others_; }

 private:
  std::map<std::string, std::string, std::less<>> values_;
  std::map<std::string, std::string> others_;
};

}  // namespace mentor
