"""The routes. What they raise, `install()` turns into answers: 404, 409, 422."""

from typing import Annotated, Any

from fastapi import Depends, FastAPI

import ormis
from ormis import F
from ormis.contrib.fastapi import RESPONSES, PageParams, PageView, install, lifespan

from .models import Choice, Question
from .schemas import ChoiceBody, ChoiceView, QuestionBody, QuestionLine, QuestionPatch, QuestionView

app = FastAPI(title="Polls", lifespan=lifespan(), responses=RESPONSES)
install(app)


@app.get("/questions", response_model=PageView[QuestionLine])
async def list_questions(page: Annotated[PageParams, Depends()]) -> Any:
    """The questions and their votes, newest first, a page at a time."""
    return await page.apage(Question.objects.annotate(votes=ormis.Sum("choices__votes", default=0)))


@app.post("/questions", status_code=201, response_model=QuestionLine)
async def ask(sent: QuestionBody) -> Any:
    """Asks a question. 409 if it is there already."""
    return await Question(**sent.model_dump()).asave()


@app.get("/questions/{pk}", response_model=QuestionView)
async def show(pk: int) -> Any:
    """A question with its choices."""
    return await Question.objects.prefetch_related("choices").aget(pk=pk)


@app.patch("/questions/{pk}", response_model=QuestionLine)
async def change(pk: int, sent: QuestionPatch) -> Any:
    """Changes a question. 409 if somebody else has changed the same field meanwhile."""
    question = await Question.aget(pk)
    for name, value in sent.model_dump(exclude_unset=True).items():
        setattr(question, name, value)
    return await question.asave(if_unchanged=True)


@app.delete("/questions/{pk}", status_code=204)
async def withdraw(pk: int) -> None:
    """Deletes a question and its choices."""
    await (await Question.aget(pk)).adelete()


@app.post("/questions/{pk}/choices", status_code=201, response_model=ChoiceView)
async def offer(pk: int, sent: ChoiceBody) -> Any:
    """Adds a choice to a question. 409 if it has this choice already."""
    return await Choice(question=await Question.aget(pk), **sent.model_dump()).asave()


@app.post("/choices/{pk}/votes", response_model=ChoiceView)
async def vote(pk: int) -> Any:
    """Casts a vote, which the server counts: none is lost, however many are cast at once."""
    choice = await Choice.aget(pk)
    choice.votes = F("votes") + 1
    return await choice.asave()
