from chat.models.conversation import Conversation, Turn
from chat.models.feedback import Feedback
from chat.models.generation import Generation
from chat.models.message import Message
from chat.models.setup_link import SetupLink
from chat.models.usage import UsageRecord
from chat.models.user import User
from chat.models.worker import Worker
from chat.refused import Refused

__all__ = [
    "Conversation",
    "Feedback",
    "Generation",
    "Message",
    "Refused",
    "SetupLink",
    "Turn",
    "UsageRecord",
    "User",
    "Worker",
]
