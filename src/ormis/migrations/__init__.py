"""Migrations: changes of models, brought to the objects that are stored.

from ormis import migrations

class Migration(migrations.Migration):
    dependencies = [("polls", "0001_initial")]
    operations = [migrations.RenameField("question", "text", "question_text")]
"""

from .executor import amigrate, migrate, planned
from .making import NewMigration, Project, make_merges, make_migrations
from .migration import Migration
from .operations import (
    AddConstraint,
    AddField,
    AddIndex,
    AlterField,
    AlterModel,
    AlterRelation,
    CreateModel,
    DeleteModel,
    RemoveConstraint,
    RemoveField,
    RemoveIndex,
    RenameField,
    RenameModel,
    RunPython,
)
from .questioner import Asking
from .showing import Shown, show_migrations
from .state import ConstraintState, FieldState, IndexState, LinkState, ModelState, ProjectState, RelationState

__all__ = [
    "AddConstraint",
    "AddField",
    "AddIndex",
    "AlterField",
    "AlterModel",
    "AlterRelation",
    "Asking",
    "ConstraintState",
    "CreateModel",
    "DeleteModel",
    "FieldState",
    "IndexState",
    "LinkState",
    "Migration",
    "ModelState",
    "NewMigration",
    "Project",
    "ProjectState",
    "RelationState",
    "RemoveConstraint",
    "RemoveField",
    "RemoveIndex",
    "RenameField",
    "RenameModel",
    "RunPython",
    "Shown",
    "amigrate",
    "make_merges",
    "make_migrations",
    "migrate",
    "planned",
    "show_migrations",
]
