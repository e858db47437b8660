// A YAML document as a tree with lines, for yaml.h. Values stay texts: YAML's own types would turn
// `no` into false and 1e-4 into a text. Pure; threads may share.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/violations.h"

namespace mentor::spec {

struct YamlNode {
  enum class Kind { kNull, kScalar, kList, kMap };
  Kind kind = Kind::kNull;
  std::string text = {};
  bool is_quoted = false;
  int line = 0;  // From 0.
  // An alias is the node of its anchor. A node may even lie within itself.
  std::vector<const YamlNode*> items = {};
  std::vector<std::pair<const YamlNode*, const YamlNode*>> entries = {};
};

struct YamlTree {
  std::vector<std::unique_ptr<YamlNode>> nodes;
  const YamlNode* root = nullptr;  // A map; null for an empty document.
};

// Adds violations when the text is not YAML, has several documents, tags of its own, or is no map.
// With violations the tree is of no use. `what` is the place of errors without a line.
YamlTree ReadYaml(std::string_view yaml, std::string_view what, Violations* violations);

}  // namespace mentor::spec
