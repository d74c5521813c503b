"""Every setting of inference."""

from pathlib import Path

from pydantic import Field
from runtime.settings import Port, ServiceSettings


class InferenceSettings(ServiceSettings):
    """The shared settings, and inference's own. Providers' addresses and keys are named by models.toml."""

    conversation_address: str = Field(
        default="127.0.0.1:7001",
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
    upstream_failures: int = Field(
        default=10,
        ge=1,
        le=10_000,
        description="After how many failed calls in a row a model provider is left alone, so that fallbacks are asked at once.",
    )
    upstream_rest_seconds: float = Field(
        default=10.0, gt=0, description="For how long it is left alone then, in seconds."
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
    embeddings_model: str = Field(
        default="",
        pattern=r"^([a-z0-9-]+:\S+)?$",
        description="provider:model that makes vectors of documents, with a provider of models.toml; empty: the embedded one.",
    )
    embeddings_floor: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="The similarity below which two texts have nothing to do with each other, for the model named before.",
    )
    qdrant_url: str = Field(
        default="",
        pattern=r"^(https?://\S+)?$",
        description="A Qdrant server to search documents with; empty: each worker has an index of its own.",
    )
    qdrant_api_key: str = Field(default="", repr=False, description="The Qdrant server's key, if it asks for one.")
    reading: int = Field(default=2, ge=1, le=100, description="How many uploaded documents one worker reads at once.")
    agents_folder: Path | None = Field(
        default=None,
        description="A folder of agents, one TOML file each, beside the packaged ones; a file with the same name as a packaged"
        " one takes its place.",
    )
