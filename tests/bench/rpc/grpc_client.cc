// SPDX-License-Identifier: Apache-2.0
// grpc_client.cc: calls the echo service on gRPC C++. usage: bench_grpc_client ADDRESS SERVER_PID sync|async|stream COUNT
// BYTES OUTSTANDING; prints a line as measure.h says.
#include "bench_echo.grpc.pb.h"
#include "measure.h"

#include <atomic>
#include <condition_variable>
#include <grpcpp/grpcpp.h>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

static std::unique_ptr<bench::Echo::Stub> stub;
static std::string data;
static long count;
static double *latencies;
static std::atomic<long> started, ended;
static std::mutex mu;
static std::condition_variable all_ended;

static void check(const grpc::Status &s, size_t bytes)
{
    if (s.ok() && bytes == data.size())
        return;
    std::fprintf(stderr, "bench_grpc_client: %s\n", s.error_message().c_str());
    _exit(2);
}

static void one()
{
    bench::Blob q, r;
    grpc::ClientContext context;
    q.set_data(data);
    grpc::Status s = stub->Call(&context, q, &r);
    check(s, r.data().size());
}

struct Lane {
    bench::Blob q, r;
    std::unique_ptr<grpc::ClientContext> context;
    double begun_s;
    void start()
    {
        context.reset(new grpc::ClientContext);
        q.set_data(data);
        begun_s = measure_now_s();
        stub->async()->Call(context.get(), &q, &r, [this](grpc::Status s) { done(s); });
    }
    void done(const grpc::Status &s)
    {
        check(s, r.data().size());
        long i = ended++;
        latencies[i] = measure_now_s() - begun_s;
        if (started++ < count) {
            start();
        } else if (i + 1 == count) {
            std::lock_guard<std::mutex> lock(mu);
            all_ended.notify_one();
        }
    }
};

static void run_async(size_t outstanding)
{
    std::vector<Lane> lanes(outstanding);
    started = static_cast<long>(outstanding);
    std::unique_lock<std::mutex> lock(mu);
    for (auto &lane : lanes)
        lane.start();
    all_ended.wait(lock, [] { return ended.load() >= count; });
    lock.unlock();
    for (auto &lane : lanes)
        lane.context.release(); // still in use by its callback's frame
}

static void run_stream()
{
    bench::ManyRequest q;
    bench::Blob blob;
    grpc::ClientContext context;
    long got = 0;
    q.set_count(static_cast<uint64_t>(count));
    q.set_bytes(static_cast<uint32_t>(data.size()));
    auto reader = stub->Many(&context, q);
    while (reader->Read(&blob))
        got++;
    check(reader->Finish(), got == count ? data.size() : 0);
}

int main(int argc, char **argv)
{
    if (argc != 7)
        return 2;
    int pid = std::atoi(argv[2]);
    count = std::atol(argv[4]);
    data.assign(static_cast<size_t>(std::atol(argv[5])), 'e');
    latencies = static_cast<double *>(std::calloc(static_cast<size_t>(count), sizeof *latencies));
    stub = bench::Echo::NewStub(grpc::CreateChannel(argv[1], grpc::InsecureChannelCredentials()));
    for (int i = 0; i < 200; i++) // warms up
        one();
    double cpu_s = measure_own_cpu_s() + measure_cpu_s(pid), begun_s = measure_now_s();
    bool stream = !std::strcmp(argv[3], "stream");
    if (stream)
        run_stream();
    else if (!std::strcmp(argv[3], "async"))
        run_async(static_cast<size_t>(std::atoi(argv[6])));
    else
        for (long i = 0; i < count; i++) {
            double call_s = measure_now_s();
            one();
            latencies[i] = measure_now_s() - call_s;
        }
    double seconds = measure_now_s() - begun_s;
    measure_print(count, seconds, measure_own_cpu_s() + measure_cpu_s(pid) - cpu_s, stream ? nullptr : latencies);
    _exit(0);
}
