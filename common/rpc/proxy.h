// HTTP proxies, which gRPC takes from the environment. A connection within this machine never takes
// one: a proxy sees its bytes, tokens among them, in plain text. Threads may share.
#pragma once

#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <grpcpp/channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>
#include <grpcpp/support/client_interceptor.h>

namespace mentor::rpc {

struct Proxy {
  std::string address;   // Without its user and password.
  std::string variable;  // Which names it: grpc_proxy, https_proxy or http_proxy.
};

// Returns the proxy between this process and a server, as gRPC 1.51 chooses it; nullopt for
// addresses of this machine, and for hosts in no_grpc_proxy or no_proxy.
std::optional<Proxy> ProxyFor(
    std::string_view address,
    const std::function<const char*(const char* variable)>& environment = std::getenv);

// "the proxy proxy.lab:3128 of https_proxy; no_proxy=HOST leaves it out".
std::string Describe(const Proxy& proxy, std::string_view address);

using InterceptionPoint = grpc::experimental::InterceptionHookPoints;

struct ChannelParts {
  // Acts at one point of each call.
  void Intercept(InterceptionPoint point,
                 std::function<void(grpc::experimental::InterceptorBatchMethods*)> act);

  std::string endpoint = {};  // What the address resolves to; empty: gRPC resolves the address.
  grpc::ChannelArguments arguments = {};
  std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>> interceptors =
      {};
};

// Makes a channel. Errors of a connection through a proxy name the proxy.
std::shared_ptr<grpc::Channel> ConnectTo(
    const std::string& address, const std::shared_ptr<grpc::ChannelCredentials>& credentials,
    ChannelParts parts = {});

}  // namespace mentor::rpc
