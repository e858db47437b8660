// A catalogue of parts that register themselves before main: environments, benchmarks, signal
// networks, outer rules. Read-only afterwards, so threads may share.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/check.h"
#include "common/edit_distance.h"

namespace mentor {

template <typename Entry>
class Registry {
 public:
  static Registry& Instance() {
    static Registry registry;
    return registry;
  }

  void Add(Entry entry) {
    std::string name = entry.name;
    MENTOR_CHECK(entries_.emplace(std::move(name), std::move(entry)).second);
  }
  const Entry* Find(std::string_view name) const {
    const auto found = entries_.find(name);
    return found == entries_.end() ? nullptr : &found->second;
  }
  // Ordered by name.
  std::vector<const Entry*> All() const {
    std::vector<const Entry*> all;
    for (const auto& [name, entry] : entries_) all.push_back(&entry);
    return all;
  }
  // Returns "unknown NOUN 'x'; did you mean 'a' or 'b'?", or "known: a, b, c" if no name is near.
  std::string Unknown(std::string_view noun, std::string_view name) const {
    std::vector<std::string> names;
    for (const auto& [known, entry] : entries_) names.push_back(known);
    return "unknown " + std::string(noun) + " '" + std::string(name) + "'; " +
           NameHint(name, names);
  }

 private:
  std::map<std::string, Entry, std::less<>> entries_;
};

// Adds an entry before main.
template <typename Entry>
struct Registration {
  explicit Registration(Entry entry) { Registry<Entry>::Instance().Add(std::move(entry)); }
};

}  // namespace mentor
