#include "common/rpc/proxy.h"

#include <initializer_list>
#include <utility>

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>
#include <grpcpp/create_channel.h>

#include "common/rpc/address.h"
#include "common/rpc/credentials.h"

namespace mentor::rpc {
namespace {

using grpc::experimental::InterceptorBatchMethods;

// Acts at one point of a call. The hook of a channel makes a copy for each call.
class Hook final : public grpc::experimental::Interceptor,
                   public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  Hook(InterceptionPoint point, std::function<void(InterceptorBatchMethods*)> act)
      : point_(point), act_(std::move(act)) {}
  void Intercept(InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(point_)) act_(methods);
    methods->Proceed();
  }
  grpc::experimental::Interceptor* CreateClientInterceptor(
      grpc::experimental::ClientRpcInfo*) override {
    return new Hook(*this);
  }

 private:
  const InterceptionPoint point_;
  const std::function<void(InterceptorBatchMethods*)> act_;
};

}  // namespace

void ChannelParts::Intercept(InterceptionPoint point,
                             std::function<void(InterceptorBatchMethods*)> act) {
  interceptors.push_back(std::make_unique<Hook>(point, std::move(act)));
}

std::optional<Proxy> ProxyFor(std::string_view address,
                              const std::function<const char*(const char* variable)>& environment) {
  if (IsLoopback(address)) return std::nullopt;
  const auto first_of = [&](std::initializer_list<const char*> names) {
    for (const char* name : names) {
      if (const char* const value = environment(name); value != nullptr)
        return std::pair<std::string, std::string>(name, value);
    }
    return std::pair<std::string, std::string>();
  };
  const std::string host = HostOf(address);
  const auto excluded = first_of({"no_grpc_proxy", "no_proxy"}).second;
  for (const absl::string_view entry : absl::StrSplit(excluded, ',')) {
    const absl::string_view end = absl::StripAsciiWhitespace(entry);
    if (end == "*" || (!end.empty() && absl::EndsWithIgnoreCase(host, end))) return std::nullopt;
  }
  const auto [variable, uri] = first_of({"grpc_proxy", "https_proxy", "http_proxy"});
  constexpr std::string_view kScheme = "http://";  // gRPC takes no other.
  if (!absl::StartsWithIgnoreCase(uri, "http://")) return std::nullopt;
  std::string authority =
      uri.substr(kScheme.size(), uri.find('/', kScheme.size()) - kScheme.size());
  authority.erase(0, authority.rfind('@') + 1);
  if (authority.empty()) return std::nullopt;
  return Proxy{.address = authority, .variable = variable};
}

std::string Describe(const Proxy& proxy, std::string_view address) {
  return absl::StrCat("the proxy ", proxy.address, " of ", proxy.variable,
                      "; no_proxy=", HostOf(address), " leaves it out");
}

std::shared_ptr<grpc::Channel> ConnectTo(
    const std::string& address, const std::shared_ptr<grpc::ChannelCredentials>& credentials,
    ChannelParts parts) {
  const std::string& target = parts.endpoint.empty() ? address : parts.endpoint;
  const auto proxy = IsLoopback(target) ? std::nullopt : ProxyFor(address);
  parts.arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, proxy.has_value());
  // The retries of gRPC 1.51 abort the process when a server's stream ends without grpc-status.
  // Without them the call fails. No service config asks for retries.
  parts.arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  if (proxy) {
    // Appends the proxy to the errors of connections. A server's own errors carry details.
    parts.Intercept(
        InterceptionPoint::POST_RECV_STATUS,
        [what = absl::StrCat(" (through ", Describe(*proxy, address), ")")](auto* methods) {
          grpc::Status* const status = methods->GetRecvStatus();
          const bool connection = status->error_code() == grpc::StatusCode::UNAVAILABLE ||
                                  status->error_code() == grpc::StatusCode::DEADLINE_EXCEEDED;
          if (connection && status->error_details().empty())
            *status = grpc::Status(status->error_code(), status->error_message() + what);
        });
  }
  return grpc::experimental::CreateCustomChannelWithInterceptors(
      target, credentials, parts.arguments, std::move(parts.interceptors));
}

}  // namespace mentor::rpc
