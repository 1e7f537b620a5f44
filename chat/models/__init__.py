from chat.models.audit import Audit
from chat.models.banner import Banner
from chat.models.chat_import import Import, ImportPiece
from chat.models.conversation import Conversation, Turn, Window
from chat.models.fair_share import FairShare
from chat.models.feedback import Feedback
from chat.models.folder import Folder
from chat.models.generation import Generation
from chat.models.glass_break import GlassBreak
from chat.models.group_rule import GroupRule
from chat.models.invitation import Invitation
from chat.models.message import Message
from chat.models.model_access import ModelAccess
from chat.models.moderation_rule import ModerationRule
from chat.models.preset import Preset
from chat.models.prompt import Prompt
from chat.models.quota import Quota, QuotaSpent
from chat.models.session import Session
from chat.models.setup_link import SetupLink
from chat.models.share_link import ShareLink
from chat.models.share_revision import ShareRevision
from chat.models.usage import UsageRecord
from chat.models.usage_sum import RollUp, UsageSum, WorkerDay
from chat.models.user import User
from chat.models.worker import Worker
from chat.refused import Refused

__all__ = [
    "Audit",
    "Banner",
    "Conversation",
    "FairShare",
    "Feedback",
    "Folder",
    "Generation",
    "GlassBreak",
    "GroupRule",
    "Import",
    "ImportPiece",
    "Invitation",
    "Message",
    "ModelAccess",
    "ModerationRule",
    "Preset",
    "Prompt",
    "Quota",
    "QuotaSpent",
    "Refused",
    "RollUp",
    "Session",
    "SetupLink",
    "ShareLink",
    "ShareRevision",
    "Turn",
    "UsageRecord",
    "UsageSum",
    "User",
    "Window",
    "Worker",
    "WorkerDay",
]
