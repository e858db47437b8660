#include "common/asker.h"

#include <utility>

namespace mentor {
namespace {

thread_local const Asker* current = nullptr;

}  // namespace

AskerScope::AskerScope(Asker asker) : asker_(std::move(asker)), before_(current) {
  current = &asker_;
}

AskerScope::~AskerScope() {
  current = before_;
}

const Asker& CurrentAsker() {
  static const Asker& nobody = *new Asker;  // Threads may ask while the process ends.
  return current == nullptr ? nobody : *current;
}

}  // namespace mentor
