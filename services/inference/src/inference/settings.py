"""Every setting of inference."""

from pydantic import Field
from runtime.settings import Port, ServiceSettings


class InferenceSettings(ServiceSettings):
    """The shared settings, and inference's own. Providers' addresses and keys are named by models.toml."""

    conversation_address: str = Field(
        default="127.0.0.1:8081",
        min_length=1,
        description="Where conversation answers gRPC: host:port, several separated by commas.",
    )
    grpc_port: Port = Field(
        default=7002, description="Port of the gRPC server, which gateways call on the legacy path; 0 takes a free one."
    )
    slots: int = Field(default=500, ge=1, le=10_000, description="How many runs one worker executes at the same time.")
    upstream_idle_seconds: float = Field(
        default=60.0,
        gt=0,
        description="How long a model provider may say nothing before the call is given up, in seconds.",
    )
    upstream_connect_seconds: float = Field(
        default=10.0, gt=0, description="How long connecting to a model provider may take, in seconds."
    )
    upstream_tries: int = Field(
        default=6, ge=1, le=100, description="How often a model call is tried while nothing of it was shown."
    )
    upstream_retry_seconds: float = Field(
        default=60.0, ge=0, description="Within how many seconds of the first try another may begin."
    )
    trace_text: bool = Field(
        default=False,
        description="Put the messages and the answers of model calls onto spans. Whoever sees traces then reads them.",
    )
    answer_bytes: int = Field(
        default=4 * 1024 * 1024,
        ge=1024,
        description="The largest answer; what is longer ends as if the model had stopped.",
    )
