#include "common/spec/yaml_tree.h"

#include <map>
#include <sstream>

#include <absl/strings/str_cat.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include "common/spec/wording.h"

namespace mentor::spec {
namespace {

// A list of the shortest numbers that fills a spec has fewer.
constexpr size_t kNodesMax = 200'000;

// Ends the parser.
struct TooManyNodes {};

std::string LineText(const YAML::Mark& mark) {
  return absl::StrCat("line ", mark.line + 1);
}

// Builds the tree from the parser's events.
class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(YamlTree* tree, Violations* violations) : tree_(*tree), violations_(*violations) {}

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Add(mark, "", anchor, YamlNode::Kind::kNull);
  }
  void OnAlias(const YAML::Mark&, YAML::anchor_t anchor) override { Place(anchors_[anchor]); }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    // The parser's tags: "?" without and "!" with quotes.
    const bool is_quoted = tag == "!" || tag == "tag:yaml.org,2002:str";
    const bool is_null = !is_quoted && (value == "~" || value == "null");
    YamlNode* node =
        Add(mark, tag, anchor, is_null ? YamlNode::Kind::kNull : YamlNode::Kind::kScalar);
    node->text = value;
    node->is_quoted = is_quoted;
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open_.push_back({Add(mark, tag, anchor, YamlNode::Kind::kList)});
  }
  void OnSequenceEnd() override { open_.pop_back(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open_.push_back({Add(mark, tag, anchor, YamlNode::Kind::kMap)});
  }
  void OnMapEnd() override { open_.pop_back(); }

 private:
  struct Open {
    YamlNode* node = nullptr;
    const YamlNode* key = nullptr;  // The entry whose value comes next.
  };

  YamlNode* Add(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                YamlNode::Kind kind) {
    if (tree_.nodes.size() == kNodesMax) {
      violations_.Add(LineText(mark), absl::StrCat("the document has more than ", kNodesMax,
                                                   " values; make it smaller"));
      throw TooManyNodes();
    }
    tree_.nodes.push_back(std::make_unique<YamlNode>());
    YamlNode* node = tree_.nodes.back().get();
    node->kind = kind;
    node->line = mark.line;
    if (anchor != 0) anchors_[anchor] = node;
    const bool is_known = tag.empty() || tag == "?" || tag == "!" || tag == "tag:yaml.org,2002:str";
    if (!is_known && violations_.empty()) {
      violations_.Add(LineText(mark), absl::StrCat("has the tag ", Quote(tag),
                                                   ", which a spec does not know; "
                                                   "remove it"));
    }
    Place(node);
    return node;
  }

  void Place(const YamlNode* node) {
    if (open_.empty()) {
      tree_.root = node;
    } else if (Open& open = open_.back(); open.node->kind == YamlNode::Kind::kList) {
      open.node->items.push_back(node);
    } else if (open.key == nullptr) {
      open.key = node;
    } else {
      open.node->entries.emplace_back(std::exchange(open.key, nullptr), node);
    }
  }

  YamlTree& tree_;
  Violations& violations_;
  std::vector<Open> open_;
  std::map<YAML::anchor_t, const YamlNode*> anchors_;
};

}  // namespace

YamlTree ReadYaml(std::string_view yaml, std::string_view what, Violations* violations) {
  YamlTree tree;
  try {
    std::istringstream stream{std::string(yaml)};
    YAML::Parser parser(stream);
    TreeBuilder builder(&tree, violations);
    parser.HandleNextDocument(builder);
    if (violations->empty() && parser && parser.HandleNextDocument(builder)) {
      violations->Add(
          tree.root == nullptr ? std::string(what) : absl::StrCat("line ", tree.root->line + 1),
          "a second document begins here; give one, without a line of '---' after it");
    }
  } catch (const YAML::Exception& error) {
    violations->Add(error.mark.is_null() ? std::string(what) : LineText(error.mark),
                    absl::StrCat("is not YAML: ", Printable(error.msg, 200),
                                 yaml.starts_with('\t') || yaml.find("\n\t") != yaml.npos
                                     ? "; indent with spaces: YAML takes no tabs there"
                                     : ""));
    return tree;
  } catch (const TooManyNodes&) {
    return tree;
  }
  if (tree.root != nullptr && tree.root->kind == YamlNode::Kind::kNull) tree.root = nullptr;
  if (tree.root != nullptr && tree.root->kind != YamlNode::Kind::kMap && violations->empty()) {
    violations->Add(absl::StrCat("line ", tree.root->line + 1),
                    "is no map of fields; write NAME: VALUE, as in 'seed: 2'");
  }
  return tree;
}

}  // namespace mentor::spec
