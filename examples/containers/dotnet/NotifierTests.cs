using Azure.Messaging.EventHubs;
using Azure.Messaging.EventHubs.Producer;
using Testcontainers.EventHubs;
using Xunit;

public sealed class NotifierTests : IAsyncLifetime
{
    private readonly EventHubsContainer container = new EventHubsBuilder()
        .WithImage(Environment.GetEnvironmentVariable("EVHUB_IMAGE") ?? "evhub")
        .WithAcceptLicenseAgreement(true)
        .WithConfigurationBuilder(EventHubsServiceConfiguration.Create().WithEntity("eh1", 2, "cg1"))
        .Build();

    public Task InitializeAsync() => container.StartAsync();

    public Task DisposeAsync() => container.DisposeAsync().AsTask();

    [Fact]
    public async Task WhatIsSentIsStored()
    {
        await using var producer = new EventHubProducerClient(container.GetConnectionString(), "eh1");
        await producer.SendAsync([new EventData("""{"foo":"bar"}""")]);

        var last = new List<long>();
        foreach (var id in await producer.GetPartitionIdsAsync())
        {
            last.Add((await producer.GetPartitionPropertiesAsync(id)).LastEnqueuedSequenceNumber);
        }
        Assert.Contains(0, last);
    }
}
