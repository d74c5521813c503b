"""The subscriber of commands about documents: decode, call the handler."""

from typing import Final

import msgspec
import structlog
from bus.api import Delivery, Done, Outcome, Poison, RetryLater, Subscriber
from contracts.commands import DocumentCommand
from contracts.ids import DOCUMENT, check_corpus, check_id

from inference.retrieval.handlers.read_uploads import UploadReader
from inference.retrieval.ports import CorpusFullError, CorpusUnavailableError, UploadsUnavailableError

logger = structlog.get_logger()

UNAVAILABLE_RETRY: Final = 2.0
FULL_RETRY: Final = 30.0

_decoder: msgspec.json.Decoder[DocumentCommand] = msgspec.json.Decoder(DocumentCommand)


def document_commands_subscriber(reader: UploadReader) -> Subscriber:
    """Handles deliveries of contracts.topology.READ. What cannot be read is poison."""

    async def on_command(delivery: Delivery) -> Outcome:
        try:
            command = _decoder.decode(delivery.data)
            check_id(DOCUMENT, command.document_id)
            check_corpus(command.corpus)
        except ValueError as error:  # what msgspec raises is one as well
            return Poison(f"not a command about a document: {error}")
        try:
            await reader.carry_out(command)
        except CorpusFullError:
            logger.error("corpora.full", document_id=command.document_id, retry_in=FULL_RETRY)
            return RetryLater(FULL_RETRY)
        except (CorpusUnavailableError, UploadsUnavailableError) as error:
            logger.warning(
                "document.delayed", document_id=command.document_id, error=str(error), retry_in=UNAVAILABLE_RETRY
            )
            return RetryLater(UNAVAILABLE_RETRY)
        return Done()

    return on_command
