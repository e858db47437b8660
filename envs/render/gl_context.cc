#include "envs/render/gl_context.h"

#include <absl/strings/str_cat.h>
#include <dlfcn.h>

namespace mentor::envs {
namespace {

// From GL/gl.h and GL/osmesa.h.
constexpr unsigned kRgba = 0x1908;
constexpr unsigned kUnsignedByte = 0x1401;
constexpr int kSize = 16;

}  // namespace

absl::StatusOr<std::unique_ptr<GlContext>> GlContext::Create(const std::string& library) {
  // Global, since MuJoCo finds its OpenGL by looking for OSMesaGetProcAddress in the whole process.
  void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (handle == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat("cannot draw without ", library,
                                                      " (OpenGL in software): ", dlerror(),
                                                      "; install it (apt-get install libosmesa6)"));
  }
  const auto create = reinterpret_cast<void* (*)(unsigned, int, int, int, void*)>(
      dlsym(handle, "OSMesaCreateContextExt"));
  const auto make_current = reinterpret_cast<unsigned char (*)(void*, void*, unsigned, int, int)>(
      dlsym(handle, "OSMesaMakeCurrent"));
  const auto destroy = reinterpret_cast<void (*)(void*)>(dlsym(handle, "OSMesaDestroyContext"));
  if (create == nullptr || make_current == nullptr || destroy == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat(library, " is not an OSMesa library; install libosmesa6 of Debian 12"));
  }
  std::unique_ptr<GlContext> made(new GlContext);
  made->destroy_ = destroy;
  made->make_current_ = make_current;
  made->pixels_.resize(4 * kSize * kSize);
  made->context_ = create(kRgba, /*depth_bits=*/24, /*stencil_bits=*/8, /*accumulator_bits=*/0,
                          /*share_with=*/nullptr);
  if (made->context_ == nullptr || !Use(made.get()).ok()) {
    return absl::FailedPreconditionError(absl::StrCat(
        library, " could not make an OpenGL context; is GALLIUM_DRIVER set to something else?"));
  }
  return made;
}

GlContext::Use::Use(GlContext* context)
    : context_(context),
      ok_(context->make_current_(context->context_, context->pixels_.data(), kUnsignedByte, kSize,
                                 kSize) != 0) {}

GlContext::Use::~Use() {
  context_->make_current_(nullptr, nullptr, kUnsignedByte, 0, 0);
}

GlContext::~GlContext() {
  // The library stays loaded: MuJoCo keeps pointers to its functions.
  if (context_ != nullptr) destroy_(context_);
}

}  // namespace mentor::envs
