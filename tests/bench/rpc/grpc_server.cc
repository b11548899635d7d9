// SPDX-License-Identifier: Apache-2.0
// grpc_server.cc: the echo service on gRPC C++. usage: bench_grpc_server ADDRESS sync|callback; prints its address, ends with
// its standard input.
#include "bench_echo.grpc.pb.h"

#include <cstdio>
#include <cstring>
#include <grpcpp/grpcpp.h>
#include <string>

struct Sync final : bench::Echo::Service {
    grpc::Status Call(grpc::ServerContext *, const bench::Blob *q, bench::Blob *r) override
    {
        r->set_data(q->data());
        return grpc::Status::OK;
    }
    grpc::Status Many(grpc::ServerContext *, const bench::ManyRequest *q, grpc::ServerWriter<bench::Blob> *out) override
    {
        bench::Blob blob;
        blob.set_data(std::string(q->bytes(), 'm'));
        for (uint64_t i = 0; i < q->count() && out->Write(blob); i++)
            ;
        return grpc::Status::OK;
    }
};

struct Callback final : bench::Echo::CallbackService {
    grpc::ServerUnaryReactor *Call(grpc::CallbackServerContext *context, const bench::Blob *q, bench::Blob *r) override
    {
        r->set_data(q->data());
        auto *reactor = context->DefaultReactor();
        reactor->Finish(grpc::Status::OK);
        return reactor;
    }
};

int main(int argc, char **argv)
{
    Sync sync;
    Callback callback;
    grpc::ServerBuilder builder;
    int port = 0;
    if (argc < 3)
        return 2;
    builder.AddListeningPort(argv[1], grpc::InsecureServerCredentials(), &port);
    if (!std::strcmp(argv[2], "sync"))
        builder.RegisterService(&sync);
    else
        builder.RegisterService(&callback);
    auto server = builder.BuildAndStart();
    if (!server)
        return 2;
    std::printf("127.0.0.1:%d\n", port);
    std::fflush(stdout);
    while (std::getchar() != EOF)
        ;
    _exit(0);
}
