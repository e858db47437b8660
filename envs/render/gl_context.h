// OpenGL in software, without a window, a display or a GPU: Mesa's OSMesa, a library that is loaded
// when the first picture is drawn, so that nothing else needs it. One thread at a time may use and
// destroy it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

namespace mentor::envs {

constexpr char kGlLibrary[] = "libOSMesa.so.8";

class GlContext {
 public:
  // FAILED_PRECONDITION, with the remedy, when there is no such library or it refuses.
  static absl::StatusOr<std::unique_ptr<GlContext>> Create(const std::string& library = kGlLibrary);
  ~GlContext();
  GlContext(const GlContext&) = delete;
  GlContext& operator=(const GlContext&) = delete;

  // Makes it current in this thread while it lives. Afterwards none is: a context that is destroyed
  // while it is current in another thread leaves a dangling pointer there.
  class Use {
   public:
    explicit Use(GlContext* context);
    ~Use();
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;
    // False where OSMesa refused.
    bool ok() const { return ok_; }

   private:
    GlContext* const context_;
    const bool ok_;
  };

 private:
  GlContext() = default;

  void* context_ = nullptr;
  unsigned char (*make_current_)(void*, void*, unsigned, int, int) = nullptr;
  void (*destroy_)(void*) = nullptr;
  // OSMesa's own frame buffer. Pictures are drawn into another one of MuJoCo's, of any size.
  std::vector<uint8_t> pixels_;
};

}  // namespace mentor::envs
