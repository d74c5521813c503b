"""Every setting of conversation: type, default, meaning."""

from pydantic import Field
from runtime.settings import Port, ServiceSettings


class Settings(ServiceSettings):
    """What conversation reads from the environment."""

    mongodb_uri: str = Field(
        validation_alias="MONGODB_URI",
        repr=False,
        min_length=1,
        description="The MongoDB replica set: mongodb://user:password@host:27017/everthread?replicaSet=rs0.",
    )
    grpc_port: Port = Field(default=7001, description="Port of the gRPC server; 0 takes a free one.")
    message_characters: int = Field(
        default=200_000, ge=1, le=4_000_000, description="The longest message that is accepted, in characters."
    )
    run_seconds: float = Field(
        default=1800.0, gt=0, description="How long a run may take before it fails with the code deadline, in seconds."
    )
    revival_seconds: float = Field(
        default=60.0,
        gt=0,
        description="How long after its acceptance an unfinished run is first looked at, in case its command was lost.",
    )
    retention_normal_days: float = Field(
        default=0.0, ge=0, description="How many days after its last message a thread is kept; 0 is for ever."
    )
    retention_temporary_days: float = Field(
        default=1.0, ge=0, description="The same for threads of the kind temporary; 0 is for ever."
    )
    deletion_settle_seconds: float = Field(
        default=60.0,
        gt=0,
        description="How long after a thread was deleted everything is searched once more for what was on its way, in seconds.",
    )
    record_concurrency: int = Field(default=32, ge=1, le=1000, description="How many snapshots are recorded at once.")
    document_bytes: int = Field(
        default=10 * 1024 * 1024, ge=1, le=15 * 1024 * 1024, description="The largest document that is taken, in bytes."
    )
    documents: int = Field(default=1_000, ge=1, description="How many documents one corpus may hold.")
